//! From bytes to characters: byte order marks, declared and guessed encodings.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes that the guess of a legacy encoding looks at.
const GUESS_FROM: usize = 256 * 1024;

/// Bytes at the start of a page in which its encoding may be declared.
const DECLARED_WITHIN: usize = 4096;

/// Text, and how it was read.
pub(crate) struct Decoded<'a> {
    /// The text.
    pub(crate) text: Cow<'a, str>,
    /// Name of the encoding, as in HTML.
    pub(crate) encoding: &'static str,
    /// Whether bytes that make no sense in the encoding became U+FFFD.
    pub(crate) lossy: bool,
}

/// Reads bytes as text. A byte order mark wins; valid UTF-8 is UTF-8 whatever was declared; then what was declared;
/// then a guess.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&'static Encoding>) -> Decoded<'a> {
    let encoding = encoding_of(bytes, declared);
    let (text, lossy) = encoding.decode_with_bom_removal(bytes);
    Decoded { text, encoding: encoding.name(), lossy }
}

/// Reads the first bytes of a file, which may end inside a character.
pub(crate) fn decode_head(head: &[u8]) -> Cow<'_, str> {
    decode(without_cut_character(head), None).text
}

fn encoding_of(bytes: &[u8], declared: Option<&'static Encoding>) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return encoding;
    }
    if declared == Some(ISO_2022_JP) {
        return ISO_2022_JP;
    }
    match mostly_utf8(bytes) {
        true => UTF_8,
        false => declared.filter(|encoding| *encoding != UTF_8).unwrap_or_else(|| guess(bytes)),
    }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    // The bytes that tell encodings apart may come late in a file that begins in ASCII.
    let first = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
    let from = first.saturating_sub(64);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[from..bytes.len().min(from + GUESS_FROM)], true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Valid UTF-8, or UTF-8 in which a few characters were damaged: against one damaged place stand twenty sound
/// characters beyond ASCII, which no legacy encoding gives by chance.
fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut sound, mut damaged) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        sound += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        damaged += usize::from(!chunk.invalid().is_empty());
    }
    damaged * 20 <= sound
}

/// UTF-16 shows by its zero bytes, all on one side, when most of the text is ASCII.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096)];
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    if pairs == 0 {
        return None;
    }
    let (most, few) = (pairs * 2 / 5, pairs / 20);
    match () {
        () if odd > most && even <= few => Some(UTF_16LE),
        () if even > most && odd <= few => Some(UTF_16BE),
        () => None,
    }
}

/// Whether the first bytes of a file are text in some encoding: next to no control characters, no zero bytes.
pub(crate) fn looks_like_text(head: &[u8]) -> bool {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}' | '\u{8}');
    let utf16 = Encoding::for_bom(head).is_some_and(|(encoding, _)| encoding != UTF_8);
    if utf16 || utf16_without_mark(head).is_some() {
        let text = decode_head(head);
        return text.chars().filter(|c| is_odd(*c) || *c == '\u{fffd}').count() * 50 <= text.chars().count();
    }
    if head.contains(&0) {
        return false;
    }
    let odd = head.iter().filter(|byte| byte.is_ascii() && is_odd(char::from(**byte))).count();
    odd * 100 <= head.len()
}

/// Without the bytes of a UTF-8 character that the end cuts in two.
fn without_cut_character(head: &[u8]) -> &[u8] {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

/// The encoding that a page declares in a `<meta>` element or an XML declaration.
pub(crate) fn declared_in_html(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(DECLARED_WITHIN)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut rest = head.as_str();
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let key = match () {
            () if rest.starts_with("!--") => {
                rest = &rest[rest.find("-->")?..];
                continue;
            }
            () if rest.starts_with("meta") => "charset",
            () if rest.starts_with("?xml") => "encoding",
            () if rest.starts_with("body") => return None,
            () => continue,
        };
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let Some((_, value)) = tag.split_once(key) else { continue };
        let Some(value) = value.trim_start().strip_prefix('=') else { continue };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let label = value.split(|c: char| c.is_whitespace() || "\"';/>?".contains(c)).next().unwrap_or("");
        if let Some(encoding) = Encoding::for_label_no_replacement(label.as_bytes()) {
            // The declaration was readable as ASCII, so it cannot be UTF-16.
            return Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        decode(bytes, None).text.into_owned()
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(text("Grüße".as_bytes()), "Grüße");
        assert_eq!(text(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe"), "Grüße");
        for (bytes, encoding) in [(b"\xff\xfe".as_slice(), UTF_16LE), (b"\xfe\xff".as_slice(), UTF_16BE)] {
            let units = "Grüße".encode_utf16();
            let body: Vec<u8> = match encoding == UTF_16LE {
                true => units.flat_map(u16::to_le_bytes).collect(),
                false => units.flat_map(u16::to_be_bytes).collect(),
            };
            assert_eq!(text(&[bytes, &body].concat()), "Grüße");
        }
        let german = "Die Prüfung der Anlage in Köln ergab: Ölstand zu niedrig, Gehäuse beschädigt.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(german);
        assert_eq!(text(&bytes), german);
        let russian = "Договор вступает в силу с момента подписания обеими сторонами и действует один год.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(russian);
        assert_eq!(text(&bytes), russian);
        let japanese = "この製品は、室温で乾燥した場所に保管してください。保証期間は二年です。";
        let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(japanese);
        assert_eq!(text(&bytes), japanese);
    }

    #[test]
    fn a_damaged_place_does_not_turn_utf8_into_something_else() {
        let mut bytes = "Äpfel, Öl, Übung. ".repeat(20).into_bytes();
        bytes[100] = 0xff;
        let decoded = decode(&bytes, None);
        assert_eq!(decoded.encoding, "UTF-8");
        assert!(decoded.lossy);
        assert!(decoded.text.contains("Übung"));
    }

    #[test]
    fn a_late_legacy_character_is_still_guessed() {
        let mut bytes = b"plain words only ".repeat(40_000);
        bytes.extend_from_slice(b"und \xc4pfel mit \xd6l, sch\xf6n f\xfcr alle");
        assert!(text(&bytes).ends_with("und Äpfel mit Öl, schön für alle"));
    }

    #[test]
    fn declarations_are_found() {
        for page in [
            "<html><head><meta charset=\"Shift_JIS\">",
            "<META http-equiv='Content-Type' content='text/html; charset=shift_jis'>",
            "<?xml version=\"1.0\" encoding=\"shift_jis\"?>",
            "<!-- <meta charset=utf-8> --><meta charset=sjis>",
        ] {
            assert_eq!(declared_in_html(page.as_bytes()), Some(encoding_rs::SHIFT_JIS), "{page}");
        }
        assert_eq!(declared_in_html(b"<meta charset=utf-16le>"), Some(UTF_8));
        assert_eq!(declared_in_html(b"<meta charset=no-such>"), None);
        assert_eq!(declared_in_html(b"<p>charset=koi8-r</p>"), None);
    }

    #[test]
    fn valid_utf8_wins_over_a_wrong_declaration() {
        let declared = Some(encoding_rs::WINDOWS_1252);
        assert_eq!(decode("Grüße".as_bytes(), declared).text, "Grüße");
        assert_eq!(decode(b"Gr\xfc\xdfe", declared).text, "Grüße");
    }
}
