use super::super::tests::{outline, read_ok, warnings};
use crate::{
    sniff::MediaType,
    text::{TextSettings, read},
};

fn page(html: &str) -> Vec<String> {
    outline(&read_ok(html, MediaType::Html))
}

#[test]
fn structure_is_kept() {
    let html = "<!DOCTYPE html><html><head><title>The  <b>Title</title><style>p{color:red}</style></head><body>
        <h1>One</h1><p>First &amp; second&nbsp;word.<p>Next <b>bold</b><i>ital</i>.
        <ul><li>apple<li>pear <ol start=3><li>x</li><li>y</ol></ul>
        <blockquote>Said <br>so</blockquote><pre>
  a  b
    c</pre><h2>Two<br>lines</h2><dl><dt>Term<dd>Meaning</dl><hr>End<!-- no --></body></html>";
    let extracted = read_ok(html, MediaType::Html);
    assert_eq!(extracted.title.as_deref(), Some("The <b>Title"));
    assert_eq!(
        outline(&extracted),
        [
            "H1 One",
            "P First & second word.",
            "P Next boldital.",
            "L - apple",
            "L - pear",
            "L 3. x",
            "L 4. y",
            "Q Said\nso",
            "C   a  b\n    c",
            "H2 Two\nlines",
            "P Term",
            "P Meaning",
            "P End",
        ]
    );
    assert!(extracted.warnings.is_empty());
}

#[test]
fn the_first_heading_is_the_title_of_a_page_without_one() {
    assert_eq!(read_ok("<p>x<h2>Head <i>line</i></h2>", MediaType::Html).title.as_deref(), Some("Head line"));
}

#[test]
fn tables_have_a_row_a_line() {
    let html = "Before<table><caption>Prices</caption><thead><tr><th>Part<th>Price<tbody>
        <tr><td><p>Pump</p></td><td>12&nbsp;€</td></tr><tr><td></td><td>7 €<br>each</tr></table>after";
    assert_eq!(page(html), ["P Before", "P Prices", "T Part | Price\nPump | 12 €\n | 7 € each", "P after"]);
}

#[test]
fn tables_that_lay_out_a_page_are_read_as_a_page() {
    let html = "<table><tr><td>Menu</td><td><h1>Title</h1><p>One<p>Two<table><tr><td>a<td>b</table></td></tr>
        <tr><td>foot</table>";
    assert_eq!(page(html), ["T Menu", "H1 Title", "P One", "P Two", "T a | b", "P foot"]);
    assert_eq!(page("<table role=presentation><tr><td>a<td>b</table>"), ["P a", "P b"]);
}

#[test]
fn machinery_is_left_out_without_a_word() {
    let html = "<head><script>var a='<p>no</p>';</script></head><nav><a href=/>Home</a></nav><p>Text
        <script>document.write('</p>')</script><noscript>Enable scripts</noscript>more
        <select><option>A<option>B</select><svg><title>icon</title><text>label</text></svg>
        <div role=navigation>next page</div><iframe><p>x</iframe><math><mi>x</mi><annotation>tex</annotation></math>";
    let extracted = read_ok(html, MediaType::Html);
    assert_eq!(outline(&extracted), ["P Text more", "P x"]);
    assert!(extracted.warnings.is_empty());
}

#[test]
fn hidden_text_is_dropped_and_told() {
    for html in [
        "<p>seen<p hidden>SECRET",
        "<p>seen<div style='display:none'>SECRET<p>SECRET</div>",
        "<p>seen<span aria-hidden=true>SECRET</span>",
        "<p>seen<span style='font-size:0'>SECRET</span>",
        "<p>seen<font color=white>SECRET</font>",
        "<body bgcolor=black text=white><p>seen<font color=#000001>SECRET</font>",
        "<p>seen<template>SECRET</template>",
        "<p>seen<dialog>SECRET</dialog>",
        "<style>.x{display:none}</style><p>seen<p class='a X'>SECRET",
        "<p>seen<div style=visibility:hidden>SECRET<b>SECRET</b></div>",
        // Formatting that its block leaves open goes on behind it.
        "<p>seen<div><b hidden>SECRET</div>SECRET</b>",
        "<p>seen<b hidden><b><b></b></b>SECRET",
        // End tags that match nothing here close nothing.
        "<p>seen<div hidden></p></span></td>SECRET</div>",
        "<div><p>seen<table><tr><td hidden></div>SECRET</table></div>",
        "<p>seen<button hidden><p>SECRET</button>",
        "<p>seen<div hidden><html><body>SECRET</div>",
    ] {
        let extracted = read_ok(html, MediaType::Html);
        assert_eq!(extracted.text, "seen", "{html}");
        assert_eq!(warnings(&extracted), ["HIDDEN_TEXT_DROPPED"], "{html}");
    }
}

#[test]
fn visible_text_stays() {
    for html in [
        "<p>seen",
        "<p hidden><p>seen",
        "<ul><li hidden><li>seen</ul>",
        "<div hidden></div>seen",
        "<div style='font-size:0'><a style='font-size:14px'>seen</a></div>",
        "<div style='visibility:hidden'><p style='visibility:visible'>seen</div>",
        "<p hidden style='display:block'>seen",
        "<body style='opacity:0'>seen",
        "<div style='background:#000'><font color=white>seen</font></div>",
        "<link rel=stylesheet href=x><font color=white>seen</font>",
        "<dialog open>seen</dialog>",
        "<table><tr><td hidden></td></tr></table>seen",
        "<div hidden><b></div>seen",
        "<td><b hidden></b></td>seen",
        "<table><tr><td>seen<b hidden></td></tr></table><b></b>",
        "<style>@media print{p{display:none}}</style><p>seen",
        "<svg><path d=x><g></svg>seen",
        "<svg><path/><p>seen",
        "<head><title>t</title>seen",
        "<textarea>\nseen</textarea>",
        "<custom-element>seen</custom-element>",
        "<p>seen<i aria-hidden=true>×</i>",
        "seen<",
    ] {
        let extracted = read_ok(html, MediaType::Html);
        assert!(matches!(extracted.text.trim(), "seen" | "- seen" | "seen<"), "{html}: {:?}", extracted.text);
        assert!(extracted.warnings.is_empty(), "{html}");
    }
}

#[test]
fn two_line_breaks_end_a_paragraph() {
    assert_eq!(page("a<br>b<br><br>c<br/> <br/>d"), ["P a\nb", "P c", "P d"]);
}

#[test]
fn words_of_neighbouring_blocks_stay_apart() {
    assert_eq!(
        page("<div>a</div><div>b</div><span>c</span><span>d</span><button>e</button>f"),
        ["P a", "P b", "P cd e f"]
    );
}

#[test]
fn hidden_text_is_kept_where_the_settings_say_so() {
    let html = "<p>seen<p style='display:none'>not<br>displayed<p hidden>hidden<p style='color:#fff'>white
        <span aria-hidden=true>icon</span><template>part</template><script>code()</script>";
    let dropped = read_ok(html, MediaType::Html);
    assert_eq!((outline(&dropped), warnings(&dropped)), (vec!["P seen".to_owned()], vec!["HIDDEN_TEXT_DROPPED"]));
    let keep = TextSettings { drop_hidden_text: false, ..TextSettings::default() };
    let kept = read(html.as_bytes(), MediaType::Html, &keep).expect("readable");
    assert_eq!(outline(&kept), ["P seen", "P not\ndisplayed", "P hidden", "P white icon"]);
    assert_eq!(warnings(&kept), [""; 0]);
    let markdown = "seen\n\n<div style='display:none'>\n\nnot *displayed*\n\n</div>";
    let kept = read(markdown.as_bytes(), MediaType::Markdown, &keep).expect("readable");
    assert_eq!(outline(&kept), ["P seen", "P not displayed"]);
}
