//! Headers, footers and page numbers: what is printed again and again at the edge of the pages, and is no part of the text.

use std::collections::{HashMap, HashSet};

use vectrion_core::extraction::ExtractedPage;

use super::{glyph::Direction, line::TextLine};

/// How far from the edge such lines stand, as a share of the page's height.
const ZONE: f32 = 0.12;
/// The same for lines that count the pages.
const NUMBER_ZONE: f32 = 0.18;
/// Lines at an edge that are looked at.
const DEPTH: usize = 5;
/// Occurrences at the least: two pages may begin alike by chance, or because they matter.
const OCCURRENCES: usize = 3;
/// Pages of a document that is too short for so many; what stands on two of them at one place is kept once.
const FEW_PAGES: usize = 4;
/// Difference of the distance from the edge on those pages, in points.
const VERY_PLACE: f32 = 1.5;
/// Pages among which they must stand: a running title of a chapter need not go through the whole document.
const WINDOW: u32 = 8;
/// Difference of their distance from the edge, in points.
const SAME_PLACE: f32 = 6.0;
/// Rows of a table that is more than furniture.
const TABLE_ROWS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the [`ZONE`].
    Edge,
    /// In the [`NUMBER_ZONE`].
    NearEdge,
    /// Elsewhere, but it is the outermost line of its page.
    Outermost,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Edge {
    Top,
    Bottom,
}

/// A line near an edge.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    line: usize,
    page: u32,
    /// Points from the edge.
    distance: f32,
    /// How near it is to the edge.
    place: Place,
    /// The first and the last number in it.
    numbers: Option<(i64, i64)>,
}

/// Takes headers, footers and page numbers out of the lines.
pub(super) fn remove(text: &str, lines: &mut Vec<TextLine>, pages: &[ExtractedPage]) {
    if pages.len() < 2 {
        return;
    }
    let mut candidates: HashMap<(Edge, String), Vec<Candidate>> = HashMap::new();
    for_each_candidate(lines, pages, |edge, line, distance, place| {
        let (key, numbers) = mask(&text[lines[line].range.clone()]);
        let candidate = Candidate { line, page: lines[line].page, distance, place, numbers };
        candidates.entry((edge, key)).or_default().push(candidate);
    });
    let mut gone: HashSet<usize> = HashSet::new();
    let mut known: Vec<(Edge, &str, f32)> = Vec::new();
    for ((edge, key), found) in &candidates {
        // A footer whose number grows with the pages is one already on two pages; a title may count steps.
        let few = *edge == Edge::Bottom && pages.len() <= FEW_PAGES;
        let counted = counted(found, if few || is_page_number(key) { 2 } else { OCCURRENCES });
        let repeated = if is_page_number(key) { Vec::new() } else { repeated(found) };
        known.extend(repeated.iter().map(|candidate| (*edge, key.as_str(), candidate.distance)));
        gone.extend(counted.iter().chain(&repeated).map(|candidate| candidate.line));
        if pages.len() <= FEW_PAGES {
            gone.extend(again(*edge, found, text, lines));
        }
    }
    known.sort_by(|a, b| a.1.cmp(b.1).then(a.2.total_cmp(&b.2)));
    known.dedup_by(|a, b| a.1 == b.1 && (a.2 - b.2).abs() < 1.0);
    for ((edge, key), found) in &candidates {
        // A header with something at its right is now one line, now two, as the columns below it have it.
        let part_of = |distance: f32| {
            known.iter().any(|(at, whole, place)| {
                at == edge
                    && (place - distance).abs() <= SAME_PLACE
                    && whole.len() > key.len()
                    && whole.contains(key.as_str())
            })
        };
        if key.len() >= 3 {
            gone.extend(
                found
                    .iter()
                    .filter(|found| found.place == Place::Edge && part_of(found.distance))
                    .map(|found| found.line),
            );
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

fn for_each_candidate(lines: &[TextLine], pages: &[ExtractedPage], mut visit: impl FnMut(Edge, usize, f32, Place)) {
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
        let mut edges: [Vec<(f32, usize)>; 2] = [Vec::new(), Vec::new()];
        for (n, line) in lines[start..at].iter().enumerate() {
            let of_table = line.table.is_some_and(|table| table_rows[&table] > TABLE_ROWS);
            if line.direction == Direction::Right && !of_table {
                edges[0].push((line.bounds.y0, start + n));
                edges[1].push((page.height - line.bounds.y1, start + n));
            }
        }
        for (edge, mut found) in [Edge::Top, Edge::Bottom].into_iter().zip(edges) {
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (n, (distance, line)) in found.into_iter().take(DEPTH).enumerate() {
                let place = if distance <= page.height * ZONE {
                    Place::Edge
                } else if distance <= page.height * NUMBER_ZONE {
                    Place::NearEdge
                } else {
                    Place::Outermost
                };
                if n == 0 || place != Place::Outermost {
                    visit(edge, line, distance, place);
                }
            }
        }
    }
}

/// The line with its numbers masked, so that lines that differ in the page number alone are equal; and its first and last
/// number.
fn mask(line: &str) -> (String, Option<(i64, i64)>) {
    let mut key = String::with_capacity(line.len());
    let mut numbers: Option<(i64, i64)> = None;
    let mut digits = String::new();
    for c in line.trim().chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            if !key.ends_with('#') {
                key.push('#');
            }
            continue;
        }
        if let Ok(number) = digits.parse() {
            numbers = Some((numbers.map_or(number, |(first, _)| first), number));
        }
        digits.clear();
        // Cells and words come to the same.
        let blank = matches!(c, ' ' | '|' | '\n');
        if !blank {
            key.extend(c.to_lowercase());
        } else if !key.ends_with(' ') {
            key.push(' ');
        }
    }
    key.truncate(key.trim_end().len());
    let numbers = numbers.or_else(|| roman(&key).map(|number| (number, number)));
    (key, numbers)
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

/// The candidates one of whose numbers grows with the pages, if there are so many.
fn counted(found: &[Candidate], least: usize) -> Vec<Candidate> {
    let mut offsets: HashMap<(bool, i64), Vec<Candidate>> = HashMap::new();
    for candidate in found {
        let Some((first, last)) = candidate.numbers else { continue };
        for (is_last, number) in [(false, first), (true, last)] {
            offsets.entry((is_last, number - i64::from(candidate.page))).or_default().push(*candidate);
        }
    }
    let enough = |found: &[Candidate]| {
        let least = if found.iter().all(|found| found.place != Place::Outermost) { least } else { OCCURRENCES };
        found.len() >= least
    };
    offsets.into_values().filter(|found| enough(found)).flatten().collect()
}

/// The candidates that stand at one place on enough pages near each other.
fn repeated(found: &[Candidate]) -> Vec<Candidate> {
    let mut by_place: Vec<Candidate> = found.iter().filter(|found| found.place == Place::Edge).copied().collect();
    by_place.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let mut gone = Vec::new();
    let mut start = 0;
    for at in 1..=by_place.len() {
        let apart = by_place.get(at).is_none_or(|next| next.distance - by_place[at - 1].distance > SAME_PLACE);
        if apart {
            let mut place = by_place[start..at].to_vec();
            place.sort_by_key(|candidate| candidate.page);
            if place.windows(OCCURRENCES).any(|near| near[OCCURRENCES - 1].page - near[0].page < WINDOW) {
                gone.extend(place);
            }
            start = at;
        }
    }
    gone
}

/// The lines of a short document that stand on several pages, at one place and in the same words: all but one of them.
/// That one is kept, because two pages may begin alike for a reason. Of headers it is the first, of footers the last, so
/// that it does not stand between the text of two pages.
fn again(edge: Edge, found: &[Candidate], text: &str, lines: &[TextLine]) -> Vec<usize> {
    let line = |candidate: &Candidate| &lines[candidate.line];
    let content = |candidate: &Candidate| text[line(candidate).range.clone()].trim();
    let mut gone = Vec::new();
    for candidate in found.iter().filter(|candidate| candidate.place == Place::Edge) {
        let is_kept_instead = |other: &Candidate| {
            let nearer = match edge {
                Edge::Top => other.page < candidate.page,
                Edge::Bottom => other.page > candidate.page,
            };
            nearer
                && other.place == Place::Edge
                && (other.distance - candidate.distance).abs() <= VERY_PLACE
                && (line(other).u0 - line(candidate).u0).abs() <= VERY_PLACE
                && content(other) == content(candidate)
        };
        if found.iter().any(is_kept_instead) {
            gone.push(candidate.line);
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
        assert_eq!(mask("Page 12 of 30").1, Some((12, 30)));
        assert_eq!(mask("xiv").1, Some((14, 14)));
        assert_eq!(mask("Apple | 10-Q | 7"), ("apple #-q #".into(), Some((10, 7))));
        assert_eq!(mask("Annual Report").1, None);
    }

    fn candidates(pages: &[(u32, f32)]) -> Vec<Candidate> {
        pages
            .iter()
            .enumerate()
            .map(|(line, (page, distance))| Candidate {
                line,
                page: *page,
                distance: *distance,
                place: Place::Edge,
                numbers: None,
            })
            .collect()
    }

    #[test]
    fn a_number_that_grows_with_the_pages_is_a_page_number() {
        let numbered = |pages: &[(u32, i64)]| {
            let found: Vec<Candidate> = pages
                .iter()
                .map(|(page, number)| Candidate {
                    line: 0,
                    page: *page,
                    distance: 30.0,
                    place: Place::Edge,
                    numbers: Some((10, *number)),
                })
                .collect();
            counted(&found, 2).len()
        };
        assert_eq!(numbered(&[(3, 1), (4, 2)]), 2);
        assert_eq!(numbered(&[(3, 1), (4, 7)]), 0);
    }

    #[test]
    fn a_line_is_furniture_where_it_stands_often_enough_at_one_place() {
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 31.0), (3, 30.5)])).len(), 3);
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 31.0)])).len(), 0, "on two pages");
        assert_eq!(repeated(&candidates(&[(1, 30.0), (2, 50.0), (3, 70.0)])).len(), 0, "at three places");
        assert_eq!(repeated(&candidates(&[(1, 30.0), (40, 30.0), (90, 30.0)])).len(), 0, "far apart");
    }
}
