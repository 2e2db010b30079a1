//! Text hygiene shared by questions, passages and extraction.

use unicode_normalization::UnicodeNormalization as _;

/// Whether a character is invisible and can carry hidden instructions: tag characters, zero-width characters,
/// bidirectional controls, variation-selector supplements, and control characters other than tab and line ends.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}')
        || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

/// NFKC, without invisible characters.
#[must_use]
pub fn normalise(text: &str) -> String {
    text.nfkc().filter(|c| !is_invisible(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_go_and_compatibility_forms_fold() {
        assert_eq!(normalise("of\u{200B}\u{FB01}ce \u{E0049}\u{202E}ok"), "office ok");
        assert_eq!(normalise("line\n\tnext"), "line\n\tnext");
    }
}
