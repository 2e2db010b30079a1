//! What the elements of HTML do to the structure of a page.
//!
//! The rules of the standard's tree construction (<https://html.spec.whatwg.org/multipage/parsing.html>), as far as they
//! decide which text is inside which element. No tree is built: it would cost memory without bound on hostile input.

use html5ever::{LocalName, local_name};

/// Elements without content or end tag.
pub(super) fn is_void(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("area")
            | local_name!("base")
            | local_name!("basefont")
            | local_name!("bgsound")
            | local_name!("br")
            | local_name!("col")
            | local_name!("embed")
            | local_name!("frame")
            | local_name!("hr")
            | local_name!("img")
            | local_name!("input")
            | local_name!("keygen")
            | local_name!("link")
            | local_name!("meta")
            | local_name!("param")
            | local_name!("source")
            | local_name!("track")
            | local_name!("wbr")
    )
}

/// Level of a heading.
pub(super) fn heading_level(name: &LocalName) -> Option<u8> {
    match *name {
        local_name!("h1") => Some(1),
        local_name!("h2") => Some(2),
        local_name!("h3") => Some(3),
        local_name!("h4") => Some(4),
        local_name!("h5") => Some(5),
        local_name!("h6") => Some(6),
        _ => None,
    }
}

/// Elements that stand on lines of their own, and whose start ends a paragraph.
pub(super) fn is_block(name: &LocalName) -> bool {
    heading_level(name).is_some()
        || matches!(
            *name,
            local_name!("address")
                | local_name!("article")
                | local_name!("aside")
                | local_name!("blockquote")
                | local_name!("center")
                | local_name!("dd")
                | local_name!("details")
                | local_name!("dialog")
                | local_name!("dir")
                | local_name!("div")
                | local_name!("dl")
                | local_name!("dt")
                | local_name!("fieldset")
                | local_name!("figcaption")
                | local_name!("figure")
                | local_name!("footer")
                | local_name!("form")
                | local_name!("header")
                | local_name!("hgroup")
                | local_name!("hr")
                | local_name!("legend")
                | local_name!("li")
                | local_name!("listing")
                | local_name!("main")
                | local_name!("menu")
                | local_name!("nav")
                | local_name!("ol")
                | local_name!("p")
                | local_name!("plaintext")
                | local_name!("pre")
                | local_name!("search")
                | local_name!("section")
                | local_name!("summary")
                | local_name!("table")
                | local_name!("textarea")
                | local_name!("ul")
                | local_name!("xmp")
        )
}

/// Elements of a table inside it.
pub(super) fn is_table_part(name: &LocalName) -> bool {
    is_cell(name)
        || is_row_group(name)
        || matches!(*name, local_name!("tr") | local_name!("caption") | local_name!("colgroup"))
}

/// A cell of a table.
pub(super) fn is_cell(name: &LocalName) -> bool {
    matches!(*name, local_name!("td") | local_name!("th"))
}

/// A group of rows of a table.
pub(super) fn is_row_group(name: &LocalName) -> bool {
    matches!(*name, local_name!("tbody") | local_name!("thead") | local_name!("tfoot"))
}

/// Elements that a browser opens again when the block around them closed before they did.
pub(super) fn is_formatting(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("a")
            | local_name!("b")
            | local_name!("big")
            | local_name!("code")
            | local_name!("em")
            | local_name!("font")
            | local_name!("i")
            | local_name!("nobr")
            | local_name!("s")
            | local_name!("small")
            | local_name!("strike")
            | local_name!("strong")
            | local_name!("tt")
            | local_name!("u")
    )
}

/// Elements that no end tag of an element outside reaches through, and whose end forgets open formatting.
pub(super) fn is_barrier(name: &LocalName) -> bool {
    is_cell(name)
        || matches!(
            *name,
            local_name!("applet")
                | local_name!("caption")
                | local_name!("html")
                | local_name!("marquee")
                | local_name!("object")
                | local_name!("table")
                | local_name!("template")
        )
}

/// Elements whose content is machinery, navigation, or a substitute for what a browser shows instead: left out without
/// a word.
pub(super) fn is_noise(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("annotation")
            | local_name!("annotation-xml")
            | local_name!("audio")
            | local_name!("canvas")
            | local_name!("datalist")
            | local_name!("head")
            | local_name!("iframe")
            | local_name!("nav")
            | local_name!("noembed")
            | local_name!("noframes")
            | local_name!("noscript")
            | local_name!("object")
            | local_name!("rp")
            | local_name!("rt")
            | local_name!("script")
            | local_name!("select")
            | local_name!("style")
            | local_name!("svg")
            | local_name!("video")
    )
}

/// Start tags that end an `<svg>` or `<math>` in which they make no sense.
pub(super) fn breaks_out_of_foreign(name: &LocalName) -> bool {
    heading_level(name).is_some()
        || (is_formatting(name) && !matches!(*name, local_name!("a") | local_name!("font")))
        || matches!(
            *name,
            local_name!("blockquote")
                | local_name!("body")
                | local_name!("br")
                | local_name!("center")
                | local_name!("dd")
                | local_name!("div")
                | local_name!("dl")
                | local_name!("dt")
                | local_name!("embed")
                | local_name!("head")
                | local_name!("hr")
                | local_name!("img")
                | local_name!("li")
                | local_name!("listing")
                | local_name!("menu")
                | local_name!("meta")
                | local_name!("ol")
                | local_name!("p")
                | local_name!("pre")
                | local_name!("ruby")
                | local_name!("span")
                | local_name!("sub")
                | local_name!("sup")
                | local_name!("table")
                | local_name!("ul")
                | local_name!("var")
        )
}

/// Elements that stop the search for the element that an end tag of a plain inline element closes.
pub(super) fn is_special(name: &LocalName) -> bool {
    is_block(name) || is_barrier(name) || is_table_part(name) || *name == local_name!("button")
}
