//! Colours, as far as text may vanish by them.

/// A colour that a style names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Color {
    /// Red, green, blue.
    Rgb(u8, u8, u8),
    /// Seen through.
    Transparent,
    /// An image, a variable, a name not listed here: no judgement.
    Unknown,
}

/// Names of colours near the ends of the scale, where hiding happens, and some between.
const NAMES: &[(&str, Color)] = &[
    ("white", Color::Rgb(255, 255, 255)),
    ("snow", Color::Rgb(255, 250, 250)),
    ("ivory", Color::Rgb(255, 255, 240)),
    ("ghostwhite", Color::Rgb(248, 248, 255)),
    ("floralwhite", Color::Rgb(255, 250, 240)),
    ("mintcream", Color::Rgb(245, 255, 250)),
    ("azure", Color::Rgb(240, 255, 255)),
    ("aliceblue", Color::Rgb(240, 248, 255)),
    ("whitesmoke", Color::Rgb(245, 245, 245)),
    ("seashell", Color::Rgb(255, 245, 238)),
    ("black", Color::Rgb(0, 0, 0)),
    ("gray", Color::Rgb(128, 128, 128)),
    ("grey", Color::Rgb(128, 128, 128)),
    ("silver", Color::Rgb(192, 192, 192)),
    ("lightgray", Color::Rgb(211, 211, 211)),
    ("lightgrey", Color::Rgb(211, 211, 211)),
    ("red", Color::Rgb(255, 0, 0)),
    ("green", Color::Rgb(0, 128, 0)),
    ("blue", Color::Rgb(0, 0, 255)),
    ("navy", Color::Rgb(0, 0, 128)),
    ("yellow", Color::Rgb(255, 255, 0)),
];

/// Channels that differ by less than this are one colour to the eye; the same step as for the text of a PDF.
const SEEN_STEP: u8 = 24;

impl Color {
    /// Paper.
    pub(in super::super) const WHITE: Self = Self::Rgb(255, 255, 255);

    /// A colour of text. `None` when it is inherited.
    pub(in super::super) fn parse(value: &str) -> Option<Self> {
        if matches!(value, "" | "inherit" | "unset" | "revert" | "initial" | "currentcolor") {
            return None;
        }
        let named = NAMES.iter().find(|(name, _)| *name == value).map(|(_, color)| *color);
        Some(named.or_else(|| Self::hex(value)).or_else(|| Self::function(value)).unwrap_or(match value {
            "transparent" => Self::Transparent,
            _ => Self::Unknown,
        }))
    }

    /// What stands behind text. `None` when what is further behind shows through.
    pub(in super::super) fn parse_background(value: &str) -> Option<Self> {
        if matches!(value, "none" | "0" | "0 0") {
            return None;
        }
        match Self::parse(value)? {
            Self::Transparent => None,
            // A shorthand such as `#fff no-repeat`, without an image.
            Self::Unknown if !value.contains('(') => value
                .split_whitespace()
                .filter_map(Self::parse)
                .find(|color| matches!(color, Self::Rgb(..)))
                .or(Some(Self::Unknown)),
            color => Some(color),
        }
    }

    /// Whether text of this colour cannot be told from what is behind it.
    pub(super) fn vanishes_on(self, background: Self) -> bool {
        match (self, background) {
            (Self::Transparent, _) => true,
            (Self::Rgb(r, g, b), Self::Rgb(br, bg, bb)) => {
                [(r, br), (g, bg), (b, bb)].into_iter().all(|(text, behind)| text.abs_diff(behind) < SEEN_STEP)
            }
            _ => false,
        }
    }

    fn hex(value: &str) -> Option<Self> {
        let digits = value.strip_prefix('#')?;
        let nibbles: Vec<u8> =
            digits.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?;
        let (r, g, b, alpha) = match *nibbles.as_slice() {
            [r, g, b] => (r * 17, g * 17, b * 17, 255),
            [r, g, b, a] => (r * 17, g * 17, b * 17, a * 17),
            [r, r2, g, g2, b, b2] => (r * 16 + r2, g * 16 + g2, b * 16 + b2, 255),
            [r, r2, g, g2, b, b2, a, a2] => (r * 16 + r2, g * 16 + g2, b * 16 + b2, a * 16 + a2),
            _ => return None,
        };
        Some(if alpha < SEEN_STEP { Self::Transparent } else { Self::Rgb(r, g, b) })
    }

    /// `rgb(…)` and `rgba(…)`, with commas or without.
    fn function(value: &str) -> Option<Self> {
        let arguments = value.strip_prefix("rgba").or_else(|| value.strip_prefix("rgb"))?;
        let arguments = arguments.trim().strip_prefix('(')?.strip_suffix(')')?;
        let numbers: Vec<f32> = arguments
            .split([',', ' ', '/'])
            .filter(|part| !part.is_empty())
            .map(|part| match part.strip_suffix('%') {
                Some(percent) => percent.parse::<f32>().map(|percent| percent * 2.55),
                None => part.parse(),
            })
            .collect::<Result<_, _>>()
            .ok()?;
        let &[r, g, b, ref alpha @ ..] = numbers.as_slice() else { return None };
        if alpha.first().is_some_and(|alpha| *alpha < 0.1) {
            return Some(Self::Transparent);
        }
        // `as` saturates, which is what CSS asks for.
        Some(Self::Rgb(r as u8, g as u8, b as u8))
    }
}
