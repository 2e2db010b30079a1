//! What single characters mean for layout, and how they are written down.

use unicode_normalization::{UnicodeNormalization as _, char::compose};
use vectrion_core::text::is_invisible;

/// Whether the character is white space of any width.
#[inline]
pub(crate) fn is_space(code: u32) -> bool {
    matches!(code, 0x01 | 0x03..=0x20 | 0x85 | 0xA0 | 0x1680 | 0x2000..=0x200A | 0x2028 | 0x2029 | 0x202F | 0x205F | 0x3000)
}

/// Letters and digits of scripts that run from right to left.
pub(super) fn is_rtl(c: char) -> bool {
    matches!(c,
        '\u{0590}'..='\u{08FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}'
        | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
}

/// Digits that run from left to right inside text that runs from right to left.
pub(super) fn is_rtl_digit(c: char) -> bool {
    matches!(c, '\u{0660}'..='\u{0669}' | '\u{06F0}'..='\u{06F9}' | '\u{07C0}'..='\u{07C9}')
}

/// Scripts that are written without spaces between words.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{2E80}'..='\u{312F}' | '\u{31A0}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Marks that stand over or under the letter before them.
pub(super) fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// The mark that an accent standing by itself means when it is drawn over a letter, as old TeX fonts do.
fn combining_of(accent: char) -> Option<char> {
    Some(match accent {
        '\u{60}' | '\u{2CB}' => '\u{300}',
        '\u{B4}' | '\u{2CA}' => '\u{301}',
        '\u{5E}' | '\u{2C6}' => '\u{302}',
        '\u{7E}' | '\u{2DC}' => '\u{303}',
        '\u{AF}' | '\u{2C9}' => '\u{304}',
        '\u{2D8}' => '\u{306}',
        '\u{2D9}' => '\u{307}',
        '\u{A8}' => '\u{308}',
        '\u{2DA}' | '\u{B0}' => '\u{30A}',
        '\u{2DD}' => '\u{30B}',
        '\u{2C7}' => '\u{30C}',
        '\u{B8}' => '\u{327}',
        '\u{2DB}' => '\u{328}',
        _ => return None,
    })
}

/// Whether the character may be an accent that is drawn apart from its letter.
#[inline]
pub(super) fn may_be_accent(c: char) -> bool {
    (c > '\u{7E}' || c == '`' || c == '^' || c == '~') && combining_of(c).is_some()
}

/// The letter with the accent over it, if Unicode has it as one character.
pub(super) fn accented(letter: char, accent: char) -> Option<char> {
    let letter = match letter {
        '\u{131}' => 'i',
        '\u{237}' => 'j',
        other => other,
    };
    compose(letter, combining_of(accent)?)
}

/// Writes a character that is not plain ASCII: ligatures and the joined forms of Arabic as their letters, bullets of symbol
/// fonts as bullets; characters that show nothing or mean nothing are left out.
pub(super) fn push(text: &mut String, c: char) {
    match c {
        '\u{FB00}'..='\u{FB06}' | '\u{FB13}'..='\u{FB17}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' => {
            // The compatibility forms of isolated marks come with a space that was never there.
            text.extend(c.nfkc().filter(|c| *c != ' '));
        }
        '\u{F0A7}' | '\u{F0B7}' | '\u{F076}' | '\u{F0D8}' | '\u{F0FC}' | '\u{F06C}' | '\u{F06E}' | '\u{F0A8}' => {
            text.push('•');
        }
        '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}' | char::REPLACEMENT_CHARACTER => {}
        '\u{2}' => text.push('-'),
        c if is_invisible(c) => {}
        c => text.push(c),
    }
}

/// Bullets of lists.
pub(super) fn is_bullet(c: char) -> bool {
    matches!(
        c,
        '•' | '‣'
            | '◦'
            | '⁃'
            | '∙'
            | '●'
            | '○'
            | '■'
            | '□'
            | '▪'
            | '▫'
            | '►'
            | '▶'
            | '➢'
            | '➤'
            | '✓'
            | '✔'
            | '❖'
            | '◆'
            | '◇'
            | '★'
            | '\u{F0B7}'
            | '\u{F0A7}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str) -> String {
        let mut out = String::new();
        text.chars().for_each(|c| push(&mut out, c));
        out
    }

    #[test]
    fn ligatures_become_letters() {
        assert_eq!(pushed("o\u{FB03}ce \u{FB02}oor mu\u{FB06}"), "office floor must");
    }

    #[test]
    fn joined_forms_of_arabic_become_letters() {
        assert_eq!(pushed("\u{FEB3}\u{FEFC}\u{FEE1}"), "سلام");
    }

    #[test]
    fn superscripts_stay_what_they_are() {
        assert_eq!(pushed("x²™"), "x²™");
    }

    #[test]
    fn what_cannot_be_seen_is_left_out() {
        assert_eq!(pushed("a\u{200B}b\u{E0041}c\u{FEFF}\u{FFFD}"), "abc");
    }

    #[test]
    fn accents_join_their_letters() {
        assert_eq!(accented('u', '\u{A8}'), Some('ü'));
        assert_eq!(accented('\u{131}', '\u{B4}'), Some('í'));
        assert_eq!(accented('q', '\u{2D8}'), None);
        assert!(!may_be_accent('a'));
    }
}
