//! The document's title.

use vectrion_core::{
    extraction::{BlockKind, Extracted},
    text::normalise,
};

/// Bytes of a title at the most.
const LONGEST: usize = 300;

/// The title in the file's properties if it is one, else the highest of the first headings.
pub(super) fn choose(property: &str, extracted: &Extracted) -> Option<String> {
    let property = normalise(property).split_whitespace().collect::<Vec<_>>().join(" ");
    if is_sensible(&property) {
        return Some(property);
    }
    const FIRST: usize = 8;
    let mut best: Option<(u8, &str)> = None;
    for block in extracted.blocks.iter().take(FIRST) {
        if let BlockKind::Heading(level) = block.kind
            && best.is_none_or(|(known, _)| level < known)
        {
            best = Some((level, &extracted.text[block.range.clone()]));
        }
    }
    best.map(|(_, heading)| heading.to_owned()).filter(|heading| heading.len() <= LONGEST)
}

/// Programs write file names and names of their own into the title.
fn is_sensible(title: &str) -> bool {
    const SUFFIXES: [&str; 16] = [
        ".doc", ".docx", ".pdf", ".indd", ".qxd", ".qxp", ".tex", ".dvi", ".ppt", ".pptx", ".xls", ".xlsx", ".odt",
        ".rtf", ".txt", ".html",
    ];
    const STARTS: [&str; 8] = [
        "microsoft word",
        "microsoft powerpoint",
        "untitled",
        "powerpoint presentation",
        "document1",
        "slide 1",
        "layout 1",
        "file:",
    ];
    let lower = title.to_lowercase();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 3
        && title.len() <= LONGEST
        && !title.contains(char::REPLACEMENT_CHARACTER)
        && !SUFFIXES.iter().any(|suffix| lower.ends_with(suffix))
        && !STARTS.iter().any(|start| lower.starts_with(start))
        && (title.contains(' ') || !title.contains(['_', '/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_no_titles() {
        for title in ["report_final_v2.docx", "Microsoft Word - report", "Untitled", "", "1234", "a_b_c", "C:\\x\\y"] {
            assert!(!is_sensible(title), "{title}");
        }
        for title in ["Annual Report 2021", "Résumés", "日本国憲法"] {
            assert!(is_sensible(title), "{title}");
        }
    }

    #[test]
    fn the_property_is_cleaned() {
        let title = choose("Annual\u{200B}  Report\n2021", &Extracted::default());
        assert_eq!(title.as_deref(), Some("Annual Report 2021"));
    }
}
