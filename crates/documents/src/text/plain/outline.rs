//! Headings and lists without markup. When in doubt, a line is a paragraph.

/// What an item of a list begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A dash, a bullet.
    Bullet,
    /// A number.
    Number(u32),
    /// A letter.
    Letter(char),
}

/// The mark of a line that begins an item of a list.
pub(super) fn list_mark(line: &str) -> Option<Mark> {
    let line = line.trim_start();
    let (mark, rest) = line.split_once([' ', '\t'])?;
    if rest.trim().is_empty() {
        return None;
    }
    if matches!(mark, "-" | "*" | "+" | "•" | "‣" | "·" | "▪" | "◦" | "–" | "—" | "○" | "●") {
        return Some(Mark::Bullet);
    }
    let body = match mark.strip_prefix('(') {
        Some(body) => body.strip_suffix(')')?,
        None => mark.strip_suffix(['.', ')'])?,
    };
    if !body.is_empty() && body.len() <= 3 && body.bytes().all(|byte| byte.is_ascii_digit()) {
        return body.parse().ok().map(Mark::Number);
    }
    // "A. Miller" is a name, "a) first" an item.
    let mut chars = body.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), None) if letter.is_ascii_lowercase() && mark.ends_with(')') => Some(Mark::Letter(letter)),
        _ => None,
    }
}

/// A title with a line of `=`, `-`, `~` or `^` below it: title, level, and the lines behind.
pub(super) fn underlined<'l, 't>(lines: &'l [&'t str]) -> Option<(&'t str, u8, &'l [&'t str])> {
    let rule = |line: &str| {
        let line = line.trim();
        let mark = line.chars().next().filter(|mark| matches!(mark, '=' | '-' | '~' | '^' | '*' | '#'))?;
        (line.len() >= 3 && line.chars().all(|c| c == mark)).then_some((mark, line.len()))
    };
    let (title, below, rest) = match *lines {
        // A line above as well as below.
        [above, title, below, ..] if rule(above).is_some() && rule(above) == rule(below) => (title, below, &lines[3..]),
        [title, below, ..] => (title, below, &lines[2..]),
        _ => return None,
    };
    let (mark, length) = rule(below)?;
    let chars = title.trim().chars().count();
    let is_title = rule(title).is_none() && chars <= MAX_HEADING_CHARS && title.chars().any(char::is_alphabetic);
    // The line is about as long as the title, or spans the page.
    if !is_title || length * 2 < chars {
        return None;
    }
    let level = match mark {
        '=' | '#' | '*' => 1,
        '-' => 2,
        '~' => 3,
        _ => 4,
    };
    Some((title, level, rest))
}

/// Characters of a heading at the most.
const MAX_HEADING_CHARS: usize = 100;

/// The level of a line that stands alone, if it is a heading: text follows it, and it is numbered or in capitals.
pub(super) fn heading_alone(line: &str, next: Option<&str>) -> Option<u8> {
    let line = line.trim();
    let next = next?;
    let is_short = line.chars().count() <= MAX_HEADING_CHARS && line.split_whitespace().count() <= 14;
    if !is_short || line.ends_with(['.', ',', ';', '!', '?']) {
        return None;
    }
    numbered(line, next).or_else(|| in_capitals(line).then_some(1))
}

/// `2 Scope`, `2. Scope`, `2.3.1 Limits`, `Chapter 4`, `Anhang B: Prüfplan`.
fn numbered(line: &str, next: &str) -> Option<u8> {
    const PARTS: [&str; 11] = [
        "Chapter",
        "Section",
        "Part",
        "Appendix",
        "Article",
        "Annex",
        "Kapitel",
        "Abschnitt",
        "Teil",
        "Anhang",
        "Artikel",
    ];
    let (first, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    if PARTS.iter().any(|part| part.eq_ignore_ascii_case(first)) {
        let number = rest.split([' ', ':', '.', '-', '–']).next().unwrap_or("");
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit())
            || number.chars().all(|c| matches!(c, 'I' | 'V' | 'X' | 'L' | 'C'))
            || (number.len() == 1 && number.chars().all(|c| c.is_ascii_uppercase()));
        return (is_number && !number.is_empty()).then_some(1);
    }
    let numbers = first.strip_suffix('.').unwrap_or(first);
    let depth = numbers.split('.').count();
    let is_numbering = depth <= 6
        && numbers.split('.').all(|n| (1..=2).contains(&n.len()) && n.bytes().all(|byte| byte.is_ascii_digit()));
    let is_title = rest.chars().next().is_some_and(char::is_uppercase) && !rest.ends_with(':');
    // A number of one part may count the items of a list: then the next paragraph is numbered too.
    let is_item = depth == 1 && matches!(list_mark(next), Some(Mark::Number(_)));
    (is_numbering && is_title && !is_item).then(|| u8::try_from(depth).unwrap_or(6))
}

fn in_capitals(line: &str) -> bool {
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    let others = line.chars().filter(|c| !c.is_alphabetic() && !c.is_whitespace()).count();
    // Scripts without capitals have no lower case either.
    let capitals = line.chars().filter(|c| c.is_uppercase()).count();
    letters >= 4 && capitals == letters && others * 2 <= letters
}
