//! Headers, footers and page numbers: what is printed again and again at the edge of the pages, and is no part of the text.

use std::collections::{HashMap, HashSet};

use vectrion_core::extraction::ExtractedPage;

use super::{glyph::Direction, line::TextLine};

/// How far from the edge such lines stand, as a share of the page's height.
const ZONE: f32 = 0.18;
/// Lines at an edge that are looked at.
const DEPTH: usize = 5;
/// Occurrences at the least: two pages may begin alike by chance, or because they matter.
const OCCURRENCES: usize = 3;
/// Pages among which they must stand: a running title of a chapter need not go through the whole document.
const WINDOW: u32 = 8;
/// Difference of their distance from the edge, in points.
const SAME_PLACE: f32 = 6.0;
/// Rows of a table that is more than furniture.
const TABLE_ROWS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Edge {
    Top,
    Bottom,
}

/// A line near an edge.
struct Candidate {
    line: usize,
    page: u32,
    /// Points from the edge.
    distance: f32,
    /// The first number in it.
    number: Option<i64>,
}

/// Takes headers, footers and page numbers out of the lines.
pub(super) fn remove(text: &str, lines: &mut Vec<TextLine>, pages: &[ExtractedPage]) {
    if pages.len() < 2 {
        return;
    }
    let mut candidates: HashMap<(Edge, String), Vec<Candidate>> = HashMap::new();
    for_each_candidate(lines, pages, |edge, line, distance| {
        let (key, number) = mask(&text[lines[line].range.clone()]);
        let candidate = Candidate { line, page: lines[line].page, distance, number };
        candidates.entry((edge, key)).or_default().push(candidate);
    });
    let mut gone: HashSet<usize> = HashSet::new();
    for ((_, key), found) in &candidates {
        if is_page_number(key) {
            gone.extend(page_numbers(found));
        } else {
            gone.extend(repeated(found));
        }
    }
    // Where nothing else would be left, it is the text.
    if gone.len() < lines.len() {
        let mut at = 0;
        lines.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
    }
}

fn for_each_candidate(lines: &[TextLine], pages: &[ExtractedPage], mut visit: impl FnMut(Edge, usize, f32)) {
    let mut table_rows: HashMap<u32, usize> = HashMap::new();
    for table in lines.iter().filter_map(|line| line.table) {
        *table_rows.entry(table).or_default() += 1;
    }
    let mut at = 0;
    for page in pages {
        let start = at;
        while lines.get(at).is_some_and(|line| line.page == page.number) {
            at += 1;
        }
        let zone = page.height * ZONE;
        let mut top: Vec<(f32, usize)> = Vec::new();
        let mut bottom: Vec<(f32, usize)> = Vec::new();
        for (n, line) in lines[start..at].iter().enumerate() {
            let of_table = line.table.is_some_and(|table| table_rows[&table] > TABLE_ROWS);
            if line.direction != Direction::Right || of_table {
                continue;
            }
            if line.bounds.y1 <= zone {
                top.push((line.bounds.y0, start + n));
            } else if line.bounds.y0 >= page.height - zone {
                bottom.push((page.height - line.bounds.y1, start + n));
            }
        }
        for (edge, mut found) in [(Edge::Top, top), (Edge::Bottom, bottom)] {
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (distance, line) in found.into_iter().take(DEPTH) {
                visit(edge, line, distance);
            }
        }
    }
}

/// The line with its numbers masked, so that lines that differ in the page number alone are equal; and the first number.
fn mask(line: &str) -> (String, Option<i64>) {
    let mut key = String::with_capacity(line.len());
    let mut digits = String::new();
    let mut number = None;
    for c in line.trim().chars() {
        if c.is_ascii_digit() {
            if !key.ends_with('#') {
                key.push('#');
            }
            digits.push(c);
        } else {
            if number.is_none() && !digits.is_empty() {
                number = digits.parse().ok();
            }
            if c != ' ' || !key.ends_with(' ') {
                key.extend(c.to_lowercase());
            }
        }
    }
    if number.is_none() {
        number = digits.parse().ok().or_else(|| roman(&key));
    }
    (key, number)
}

/// Whether the masked line is a page number and no more.
fn is_page_number(key: &str) -> bool {
    let words =
        key.split(|c: char| !c.is_alphanumeric() && c != '#').filter(|word| !word.is_empty()).map(|word| match word {
            "page" | "p" | "pg" | "seite" | "página" | "pagina" | "стр" | "of" | "de" | "von" | "sur" | "di" => 0,
            "#" => 1,
            word if roman(word).is_some() => 1,
            _ => 100,
        });
    matches!(words.sum::<u32>(), 1 | 2) && !key.is_empty()
}

/// Value of a Roman number below 200, as page numbers of a preface are.
fn roman(word: &str) -> Option<i64> {
    const DIGITS: [(&str, i64); 9] =
        [("c", 100), ("xc", 90), ("l", 50), ("xl", 40), ("x", 10), ("ix", 9), ("v", 5), ("iv", 4), ("i", 1)];
    let (mut rest, mut value) = (word, 0);
    for (digit, worth) in DIGITS {
        let mut times = 0;
        while let Some(shorter) = rest.strip_prefix(digit) {
            times += 1;
            let most = if digit.len() == 2 || matches!(digit, "c" | "l" | "v") { 1 } else { 3 };
            if times > most {
                return None;
            }
            (rest, value) = (shorter, value + worth);
        }
    }
    (rest.is_empty() && value > 0).then_some(value)
}

/// The candidates whose number grows with the pages.
fn page_numbers(found: &[Candidate]) -> Vec<usize> {
    let mut offsets: HashMap<i64, Vec<usize>> = HashMap::new();
    for candidate in found {
        if let Some(number) = candidate.number {
            offsets.entry(number - i64::from(candidate.page)).or_default().push(candidate.line);
        }
    }
    offsets.into_values().filter(|lines| lines.len() >= 2).flatten().collect()
}

/// The candidates that stand at one place on enough pages near each other.
fn repeated(found: &[Candidate]) -> Vec<usize> {
    let mut by_place: Vec<&Candidate> = found.iter().collect();
    by_place.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let mut gone = Vec::new();
    let mut start = 0;
    for at in 1..=by_place.len() {
        let apart = by_place.get(at).is_none_or(|next| next.distance - by_place[at - 1].distance > SAME_PLACE);
        if apart {
            let mut place = by_place[start..at].to_vec();
            place.sort_by_key(|candidate| candidate.page);
            if place.windows(OCCURRENCES).any(|near| near[OCCURRENCES - 1].page - near[0].page < WINDOW) {
                gone.extend(place.iter().map(|candidate| candidate.line));
            }
            start = at;
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_numbers_are_told_from_other_lines() {
        for line in ["3", "Page 3 of 12", "- 3 -", "xiv", "3/12", "Seite 7"] {
            assert!(is_page_number(&mask(line).0), "{line}");
        }
        for line in ["Chapter 3", "2021 4 8 9", "3 apples", "civil", "iiii", ""] {
            assert!(!is_page_number(&mask(line).0), "{line}");
        }
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(mask("Page 12 of 30").1, Some(12));
        assert_eq!(mask("xiv").1, Some(14));
        assert_eq!(mask("Annual Report").1, None);
    }

    fn candidates(pages: &[(u32, f32)]) -> Vec<Candidate> {
        pages
            .iter()
            .enumerate()
            .map(|(line, (page, distance))| Candidate { line, page: *page, distance: *distance, number: None })
            .collect()
    }

    #[test]
    fn a_line_is_furniture_where_it_stands_often_enough_at_one_place() {
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 31.0), (3, 30.5)])).len(), 3);
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 31.0)])).len(), 0, "on two pages");
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 50.0), (3, 70.0)])).len(), 0, "at three places");
        assert_eq!(repeated(&candidates(&[(1, 30.0), (40, 30.0), (90, 30.0)])).len(), 0, "far apart");
    }
}
