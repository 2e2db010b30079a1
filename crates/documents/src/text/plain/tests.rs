use super::{
    super::tests::{outline, read_ok},
    lines::is_source_code,
};
use crate::sniff::MediaType;

fn text(text: &str) -> Vec<String> {
    outline(&read_ok(text, MediaType::Plain))
}

#[test]
fn wrapped_lines_are_joined_and_broken_ones_kept() {
    let wrapped = "The pump is checked every six months by a trained\r\nengineer, who writes down the pressure and the noise\r\nof the bearing.\r\n\r\nNext paragraph.";
    assert_eq!(
        text(wrapped),
        [
            "P The pump is checked every six months by a trained engineer, who writes down the pressure and the noise of the bearing.",
            "P Next paragraph.",
        ]
    );
    assert_eq!(text("Ada Example\nMill Lane 4\n12345 Town"), ["P Ada Example\nMill Lane 4\n12345 Town"]);
    assert_eq!(
        text(
            "古池や蛙飛び込む水の音という句はよく知られているが、その意味するところは人によってさまざまに\n読まれてきた。"
        ),
        [
            "P 古池や蛙飛び込む水の音という句はよく知られているが、その意味するところは人によってさまざまに読まれてきた。"
        ]
    );
}

#[test]
fn headings_are_found_with_care() {
    let handbook = "STAFF HANDBOOK\n\nIntro text.\n\nScope\n=====\n\n1. Purpose\n\nText of one.\n\n1.1 Details\n\nText.\n\nDetails\n-------\nBody at once.\n\nAppendix B: Forms\n\nLast.";
    assert_eq!(
        text(handbook),
        [
            "H1 STAFF HANDBOOK",
            "P Intro text.",
            "H1 Scope",
            "H1 1. Purpose",
            "P Text of one.",
            "H2 1.1 Details",
            "P Text.",
            "H2 Details",
            "P Body at once.",
            "H1 Appendix B: Forms",
            "P Last.",
        ]
    );
    assert_eq!(read_ok(handbook, MediaType::Plain).title.as_deref(), Some("STAFF HANDBOOK"));
    for not_a_heading in [
        "2.5 million people live there.\n\nText.",
        "NASA SAID SO.\n\nText.",
        "3.5 kg\n\nText.",
        "THE LAST LINE",
        "a\n-----\n\ntext",
        "東京都\n\ntext",
    ] {
        let found = text(not_a_heading);
        let expect_underlined = not_a_heading.starts_with("a\n");
        assert_eq!(found[0].starts_with('H'), expect_underlined, "{not_a_heading}: {found:?}");
    }
}

#[test]
fn lists_are_items() {
    assert_eq!(
        text("Bring:\n- a pen\n- two sheets of\n  paper\n\n1. One\n\n2. Two\n\nEnd."),
        ["P Bring:", "L - a pen", "L - two sheets of paper", "L 1. One", "L 2. Two", "P End.",]
    );
}

#[test]
fn tables_keep_their_rows() {
    assert_eq!(text("part\tprice\npump\t12\n\nx"), ["T part\tprice\npump\t12", "P x"]);
    assert_eq!(text("id,name,qty\n1,pump,4\n2,seal,9"), ["T id,name,qty\n1,pump,4\n2,seal,9"]);
    assert_eq!(
        text("Part     Price   Qty\nPump     12.50     4\nSeal ring  1.20    90"),
        ["T Part\tPrice\tQty\nPump\t12.50\t4\nSeal ring\t1.20\t90"]
    );
}

#[test]
fn form_feeds_are_pages() {
    let extracted = read_ok("one\n\u{c}two\n\n2b\u{c}\u{c}four\n\u{c}\n", MediaType::Plain);
    let pages: Vec<&str> = extracted.pages.iter().map(|page| &extracted.text[page.range.clone()]).collect();
    assert_eq!(pages, ["one", "two\n\n2b", "", "four"]);
    let on: Vec<u32> = extracted.blocks.iter().map(|block| block.lines[0].page).collect();
    assert_eq!(on, [1, 2, 2, 4]);
}

#[test]
fn source_code_is_left_as_it_is() {
    let code = "fn main() {\n    let a = 1;\n\n    println!(\"{a}\");\n}\n// done\n";
    assert!(is_source_code(code));
    assert_eq!(text(code), ["C fn main() {\n    let a = 1;", "C     println!(\"{a}\");\n}\n// done"]);
    assert!(!is_source_code("Dear all,\n\nplease read this;\nit matters.\n\nYours,\nAda\n(chair)"));
}
