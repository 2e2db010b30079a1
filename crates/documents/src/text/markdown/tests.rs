use super::super::tests::{outline, read_ok, warnings};
use crate::sniff::MediaType;

#[test]
fn structure_is_kept() {
    let markdown = "---\ntitle: \"A: the manual\"\ndate: 2026-03-01\n---\n
# Pump P-40

Wrapped
line with **bold**, `code`, [a link](https://example.org \"x\") and a note[^1].  \nHard break.

- one
- two

  second paragraph
  1. nested
- [x] done

| Part | Price |
|------|------:|
| Seal | 12 €  |
| Ring |       |

> quoted
> text

```rust
fn main() {
    println!();
}
```

Setext
------

[^1]: The note.
";
    let extracted = read_ok(markdown, MediaType::Markdown);
    assert_eq!(extracted.title.as_deref(), Some("A: the manual"));
    assert_eq!(
        outline(&extracted),
        [
            "H1 Pump P-40",
            "P Wrapped line with bold, code, a link and a note[1].\nHard break.",
            "L - one",
            "L - two",
            "P second paragraph",
            "L 1. nested",
            "L - [x] done",
            "T Part | Price\nSeal | 12 €\nRing",
            "Q quoted text",
            "C fn main() {\n    println!();\n}",
            "H2 Setext",
            "L [1] The note.",
        ]
    );
    assert!(extracted.warnings.is_empty());
}

#[test]
fn html_inside_hides_as_in_a_browser() {
    for markdown in [
        "seen <!-- SECRET -->",
        "seen\n\n<!--\nSECRET\n\nSECRET -->\n",
        "seen\n\n<div style=\"display:none\">\n\nSECRET **SECRET**\n\n- SECRET\n\n</div>\n",
        "seen <span hidden>SECRET *SECRET*</span>",
        "seen\n\n<div\n  hidden>SECRET</div>",
        "seen\n\n<style>\n.x { color: red }\n</style>\n",
        "seen <style>SECRET</style>",
    ] {
        let extracted = read_ok(markdown, MediaType::Markdown);
        assert_eq!(extracted.text, "seen", "{markdown}");
    }
    assert_eq!(warnings(&read_ok("seen <i hidden>SECRET</i>", MediaType::Markdown)), ["HIDDEN_TEXT_DROPPED"]);
}

#[test]
fn html_inside_is_read() {
    let markdown = "<details>\n<summary>More</summary>\n\nBody *text*.\n\n</details>\n\nH<sub>2</sub>O<br>x\n\n<p align=center>mid</p>";
    assert_eq!(outline(&read_ok(markdown, MediaType::Markdown)), ["P More", "P Body text.", "P H2O\nx", "P mid"]);
}

#[test]
fn toml_front_matter_names_the_title() {
    assert_eq!(read_ok("+++\ntitle = 'T'\n+++\nx", MediaType::Markdown).title.as_deref(), Some("T"));
    assert_eq!(read_ok("no front matter\n\n# Head", MediaType::Markdown).title.as_deref(), Some("Head"));
}
