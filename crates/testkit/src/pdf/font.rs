//! The fonts of the writer.

use std::fmt::Write as _;

/// A font. The standard ones need no font file: every reader has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Font {
    /// Helvetica, Windows Latin 1.
    #[default]
    Helvetica,
    /// Helvetica, bold.
    HelveticaBold,
    /// Times, Windows Latin 1.
    Times,
    /// Times, bold.
    TimesBold,
    /// Courier.
    Courier,
    /// Every character of Unicode, drawn as a filled box half as wide as high (a space draws nothing, a CJK character is
    /// as wide as high): visible whatever fonts the machine has, and read back as the character that was written.
    Boxes,
}

impl Font {
    /// The fonts that every document declares.
    pub(super) const STANDARD: [Self; 5] =
        [Self::Helvetica, Self::HelveticaBold, Self::Times, Self::TimesBold, Self::Courier];

    /// Name in the page's resources; [`Font::Boxes`] has several, see [`BoxFonts`].
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Helvetica => "He",
            Self::HelveticaBold => "HeB",
            Self::Times => "Ti",
            Self::TimesBold => "TiB",
            Self::Courier => "Co",
            Self::Boxes => "Bx",
        }
    }

    pub(super) fn dictionary(self) -> String {
        let name = match self {
            Self::Helvetica | Self::Boxes => "Helvetica",
            Self::HelveticaBold => "Helvetica-Bold",
            Self::Times => "Times-Roman",
            Self::TimesBold => "Times-Bold",
            Self::Courier => "Courier",
        };
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
    }

    /// Width of the text at size 1.
    #[must_use]
    pub fn width(self, text: &str) -> f32 {
        text.chars().map(|c| f32::from(self.advance(c))).sum::<f32>() / 1000.0
    }

    fn advance(self, c: char) -> u16 {
        let table = match self {
            Self::Courier => return 600,
            Self::Boxes if is_wide(c) => return 1000,
            Self::Boxes => return 500,
            Self::Helvetica | Self::HelveticaBold => &HELVETICA,
            Self::Times | Self::TimesBold => &TIMES,
        };
        // Accented letters are about as wide as "n"; good enough to place words.
        (c as usize).checked_sub(32).and_then(|n| table.get(n)).copied().unwrap_or(520)
    }
}

fn is_wide(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FF60}')
}

/// Bytes of the text in Windows Latin 1.
pub(super) fn win_ansi(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| match c {
            ' '..='~' | '\u{A0}'..='\u{FF}' => u8::try_from(c as u32).expect("a Latin 1 character fits a byte"),
            '€' => 0x80,
            '…' => 0x85,
            'Š' => 0x8A,
            'Œ' => 0x8C,
            'Ž' => 0x8E,
            '‘' => 0x91,
            '’' => 0x92,
            '“' => 0x93,
            '”' => 0x94,
            '•' => 0x95,
            '–' => 0x96,
            '—' => 0x97,
            'š' => 0x9A,
            'œ' => 0x9C,
            'ž' => 0x9E,
            other => panic!("{other:?} is not in the standard fonts: use Font::Boxes"),
        })
        .collect()
}

/// The characters written with [`Font::Boxes`], 255 to a Type 3 font.
#[derive(Default)]
pub(super) struct BoxFonts {
    characters: Vec<char>,
}

/// What stands in the file for one of them.
pub(super) struct BoxFont {
    /// Name in the page's resources.
    pub(super) resource: String,
    /// The dictionary, left open for the glyphs and the Unicode map.
    pub(super) dictionary: String,
    /// Name and drawing of each glyph.
    pub(super) glyphs: Vec<(String, String)>,
    pub(super) to_unicode: String,
}

impl BoxFonts {
    const PER_FONT: usize = 255;

    pub(super) fn learn(&mut self, text: &str) {
        for c in text.chars() {
            if !self.characters.contains(&c) {
                self.characters.push(c);
            }
        }
    }

    /// Number of the font and code of the character in it.
    pub(super) fn code(&self, c: char) -> (usize, u8) {
        let at = self.characters.iter().position(|known| *known == c).expect("every character was learned");
        (at / Self::PER_FONT, u8::try_from(at % Self::PER_FONT + 1).expect("at most 255 codes in a font"))
    }

    pub(super) fn fonts(&self) -> Vec<BoxFont> {
        self.characters
            .chunks(Self::PER_FONT)
            .enumerate()
            .map(|(n, characters)| {
                let mut widths = String::new();
                let mut names = String::new();
                let mut glyphs = Vec::new();
                let mut map = String::new();
                for (at, c) in characters.iter().enumerate() {
                    let width = Font::Boxes.advance(*c);
                    let _ = write!(widths, "{width} ");
                    let _ = write!(names, "/g{at} ");
                    let ink = if c.is_whitespace() { String::new() } else { format!(" 40 0 {} 700 re f", width - 80) };
                    glyphs.push((format!("g{at}"), format!("{width} 0 0 -200 {width} 800 d1{ink}")));
                    let _ = write!(map, "<{:02X}> <", at + 1);
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(map, "{unit:04X}");
                    }
                    map.push_str(">\n");
                }
                let last = characters.len();
                let dictionary = format!(
                    "<< /Type /Font /Subtype /Type3 /FontBBox [0 -200 1000 800] /FontMatrix [0.001 0 0 0.001 0 0] \
                     /FirstChar 1 /LastChar {last} /Widths [{widths}] /Resources << >> \
                     /Encoding << /Type /Encoding /Differences [1 {names}] >>"
                );
                let to_unicode = format!(
                    "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /Boxes{n} def\n\
                     1 begincodespacerange\n<00> <FF>\nendcodespacerange\n{}endcmap\nend\nend\n",
                    bfchar_sections(&map)
                );
                BoxFont { resource: format!("Bx{n}"), dictionary, glyphs, to_unicode }
            })
            .collect()
    }
}

/// A section of a Unicode map holds at most 100 entries.
fn bfchar_sections(map: &str) -> String {
    let lines: Vec<&str> = map.lines().collect();
    lines
        .chunks(100)
        .map(|section| format!("{} beginbfchar\n{}\nendbfchar\n", section.len(), section.join("\n")))
        .collect()
}

/// Advance widths of U+0020 to U+007E, thousandths of the size, from Adobe's font metrics.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];
const TIMES: [u16; 95] = [
    250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500,
    500, 500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889,
    722, 722, 556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500,
    444, 333, 500, 500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480,
    200, 480, 541,
];
