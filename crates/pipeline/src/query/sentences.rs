//! Sentences of a passage.

use unicode_segmentation::UnicodeSegmentation as _;

/// A sentence, white space folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Its words, single spaces between them. Stands in the passage's text but for white space.
    pub(super) text: String,
    /// Whether it reads as prose: ends with a mark and is not a row of numbers.
    pub(super) is_prose: bool,
    /// Number of its paragraph in the passage.
    pub(super) paragraph: usize,
}

/// Abbreviations after which a full stop ends no sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "nr", "vs", "etc", "e.g", "i.e", "z.b", "d.h", "u.s", "u.s.c", "inc",
    "ltd", "co", "corp", "fig", "sec", "approx", "bzw", "ca", "al", "art", "abs", "p", "pp", "vol", "jan", "feb",
    "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "cf", "dept", "gov", "rev", "gen",
];

/// Sentences in order. Lines that go on in the next line are joined; headings and rows of tables stand alone.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut out = Vec::new();
    for (number, paragraph) in paragraphs(text).into_iter().enumerate() {
        let mut pending = String::new();
        for piece in paragraph.split_sentence_bounds() {
            pending.push_str(piece);
            if !ends_with_abbreviation(&pending) {
                push(&mut out, &pending, number);
                pending.clear();
            }
        }
        push(&mut out, &pending, number);
    }
    out
}

fn push(out: &mut Vec<Sentence>, raw: &str, paragraph: usize) {
    let text = fold(raw);
    if !text.is_empty() {
        out.push(Sentence { is_prose: is_prose(&text), paragraph, text });
    }
}

/// White space folded to single spaces.
pub(super) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Groups lines: a line that ends without a mark goes on in the next one, unless that begins a new thing.
fn paragraphs(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() {
            open = false;
            continue;
        }
        let goes_on = open && continues(out.last().map_or("", String::as_str), line);
        match out.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => out.push(line.to_owned()),
        }
        open = true;
    }
    out
}

fn continues(before: &str, line: &str) -> bool {
    let first = line.chars().next().unwrap_or(' ');
    let starts_item =
        matches!(first, '•' | '–' | '-' | '*' | '▪' | '●' | '◦') || line.contains(" | ") || line.contains('\t');
    if starts_item || before.contains(" | ") {
        return false;
    }
    let ended = before.ends_with(['.', '!', '?', ':', '。', '！', '？']);
    first.is_lowercase() || (!ended && before.chars().count() > 45)
}

fn ends_with_abbreviation(text: &str) -> bool {
    let Some(rest) = text.trim_end().strip_suffix('.') else { return false };
    let word = rest.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("").to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    // The day of a date, as in "13. März".
    let ordinal = word.len() <= 2 && !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
    initial || ordinal || ABBREVIATIONS.contains(&word.as_str())
}

fn is_prose(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let others = text.chars().filter(|c| !c.is_alphabetic() && !c.is_whitespace()).count();
    let words = text.split(' ').count();
    words >= 4 && letters > 2 * others && text.ends_with(['.', '!', '?', ':', ';', '"', '”', ')', '。', '！', '？'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn broken_lines_are_joined_and_headings_stand_alone() {
        let found = texts("4 Annual leave\nEvery employee has 28 days\nof leave. Unused days expire on\n31 March.\n");
        assert_eq!(
            found,
            ["4 Annual leave", "Every employee has 28 days of leave.", "Unused days expire on 31 March."]
        );
    }

    #[test]
    fn abbreviations_end_nothing() {
        assert_eq!(
            texts("Dr. Weber heads the U.S. office. He is in."),
            ["Dr. Weber heads the U.S. office.", "He is in."]
        );
    }

    #[test]
    fn the_day_of_a_date_ends_nothing() {
        assert_eq!(
            texts("Der Termin ist am 13. März 2027. Danach jährlich."),
            ["Der Termin ist am 13. März 2027.", "Danach jährlich."]
        );
    }

    #[test]
    fn rows_and_items_stand_alone() {
        let found = texts("Model | Weight\nK2 | 14 kg\n• first item\n• second item");
        assert_eq!(found, ["Model | Weight", "K2 | 14 kg", "• first item", "• second item"]);
        assert!(sentences("12 14 15.3 88 1,204 99").iter().all(|sentence| !sentence.is_prose));
    }
}
