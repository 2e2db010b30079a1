//! Lines whose order of drawing is not their order of reading: text that runs from right to left, and letters whose accents
//! are drawn apart.
//!
//! Glyphs are taken as they stand, from left to right, and brought into logical order: runs from right to left are reversed,
//! numbers and Latin words inside them keep their order. This is the reverse of the display order of Unicode's annex 9,
//! for lines without nested embeddings.

use super::{
    characters::{self, accented, is_mark, is_rtl, is_rtl_digit, may_be_accent},
    row_text::{Before, PageWords},
    rows::{Row, Rows},
};

/// A character as it stands.
#[derive(Clone, Copy, Debug)]
struct Piece {
    character: char,
    u0: f32,
    u1: f32,
    /// Where it belongs from left to right: its middle, or that of the letter under a mark.
    place: f32,
}

impl Piece {
    fn middle(&self) -> f32 {
        (self.u0 + self.u1) / 2.0
    }
}

/// Appends the row's text in logical order.
pub(super) fn write(page: &PageWords<'_>, rows: &Rows, row: &Row, text: &mut String) {
    let mut pieces: Vec<Piece> = Vec::new();
    page.for_each_word(rows, row, |word, before| {
        let between = match before {
            Before::Nothing => "",
            Before::Space => " ",
            Before::Cell => " | ",
        };
        pieces.extend(between.chars().map(|character| Piece { character, u0: word.u0, u1: word.u0, place: word.u0 }));
        let first = pieces.len();
        for glyph in &page.page.glyphs[word.first as usize..(word.first + word.len) as usize] {
            let [u0, _, u1, _] =
                page.direction.frame([glyph.x0, glyph.y0, glyph.x1, glyph.y1], page.page.width, page.page.height);
            let character = glyph.character();
            let place = match pieces.last() {
                // One glyph of several characters, such as a ligature. pdfium has turned those that read from the right.
                Some(last) if last.u0 == u0 && last.u1 == u1 => last.place + 0.01,
                _ => (u0 + u1) / 2.0,
            };
            pieces.push(Piece { character, u0, u1, place });
        }
        // An accent may be drawn after its whole word.
        if word.accents && !word.rtl {
            pieces[first..].sort_by(|a, b| a.place.total_cmp(&b.place));
        }
    });
    join_accents(&mut pieces);
    if pieces.iter().any(|piece| is_rtl(piece.character)) {
        reorder(&mut pieces);
    }
    for piece in &pieces {
        characters::push(text, piece.character);
    }
}

/// Puts accents that are drawn apart into their letters.
fn join_accents(pieces: &mut Vec<Piece>) {
    let mut at = 0;
    while at < pieces.len() {
        let accent = pieces[at];
        if !may_be_accent(accent.character) {
            at += 1;
            continue;
        }
        let middle = accent.middle();
        // The letter is the neighbour under the accent, a space that the gap suggested not counted.
        let letter = [-1_isize, 1, -2, 2].into_iter().find_map(|step| {
            let near = at.checked_add_signed(step)?;
            let piece = pieces.get(near)?;
            let between = at.checked_add_signed(step / 2).filter(|_| step.abs() == 2);
            let clear = between.is_none_or(|between| pieces[between].character == ' ');
            let slack = 0.15 * (piece.u1 - piece.u0);
            let under = (piece.u0 - slack..=piece.u1 + slack).contains(&middle);
            (clear && under).then_some(())?;
            accented(piece.character, accent.character).map(|whole| (near, whole))
        });
        match letter {
            Some((near, whole)) => {
                pieces[near].character = whole;
                pieces[near].u1 = pieces[near].u1.max(accent.u1);
                let (from, to) = if near < at { (near + 1, at) } else { (at, near - 1) };
                pieces.drain(from..=to);
                at = from;
            }
            None => at += 1,
        }
    }
}

/// Which way a character pulls its surroundings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pull {
    Left,
    Right,
    Neither,
}

fn pull(c: char) -> Pull {
    if is_rtl_digit(c) {
        Pull::Right
    } else if is_rtl(c) {
        Pull::Left
    } else if c.is_alphanumeric() {
        Pull::Right
    } else {
        Pull::Neither
    }
}

/// From the order on the page to logical order.
fn reorder(pieces: &mut [Piece]) {
    for n in 0..pieces.len() {
        let alone = n == 0 || (pieces[n - 1].u0, pieces[n - 1].u1) != (pieces[n].u0, pieces[n].u1);
        if is_mark(pieces[n].character) && alone {
            let middle = pieces[n].middle();
            let letter = pieces
                .iter()
                .filter(|piece| !is_mark(piece.character) && (piece.u0..=piece.u1).contains(&middle))
                .min_by(|a, b| (a.middle() - middle).abs().total_cmp(&(b.middle() - middle).abs()));
            if let Some(letter) = letter {
                pieces[n].place = letter.place - 0.01;
            }
        }
    }
    pieces.sort_by(|a, b| b.place.total_cmp(&a.place));
    let to_left = pieces.iter().filter(|piece| pull(piece.character) == Pull::Left).count();
    let to_right =
        pieces.iter().filter(|piece| piece.character.is_alphabetic() && pull(piece.character) == Pull::Right).count();
    if to_left >= to_right {
        reverse_runs(pieces, Pull::Right);
    } else {
        pieces.reverse();
        reverse_runs(pieces, Pull::Left);
    }
}

/// Reverses each longest stretch that begins and ends with this pull and has none of the opposite.
fn reverse_runs(pieces: &mut [Piece], direction: Pull) {
    let mut start = 0;
    while start < pieces.len() {
        if pull(pieces[start].character) != direction {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        for (at, piece) in pieces.iter().enumerate().skip(start + 1) {
            let this = pull(piece.character);
            if this == direction {
                end = at + 1;
            } else if this != Pull::Neither || piece.character == '|' {
                break;
            }
        }
        pieces[start..end].reverse();
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that stand one after the other, from left to right.
    fn standing(text: &str) -> Vec<Piece> {
        text.chars()
            .enumerate()
            .map(|(n, character)| {
                let u0 = n as f32;
                Piece { character, u0, u1: u0 + 0.9, place: u0 + 0.45 }
            })
            .collect()
    }

    fn logical(text: &str) -> String {
        let mut pieces = standing(text);
        reorder(&mut pieces);
        pieces.iter().map(|piece| piece.character).collect()
    }

    #[test]
    fn a_line_from_right_to_left_is_turned() {
        let visual: String = "שלום עולם".chars().rev().collect();
        assert_eq!(logical(&visual), "שלום עולם");
    }

    #[test]
    fn numbers_and_latin_words_in_it_keep_their_order() {
        // As it stands: the year left of the word, the Latin words left of both.
        let words: String = "בשנה שעברה נמכרו".chars().rev().collect();
        assert_eq!(logical(&format!("two words 2021 {words}")), "בשנה שעברה נמכרו two words 2021");
    }

    #[test]
    fn a_word_from_right_to_left_in_a_latin_line_is_turned_in_place() {
        let word: String = "שלום".chars().rev().collect();
        assert_eq!(logical(&format!("the word {word} means peace")), "the word שלום means peace");
    }

    #[test]
    fn a_mark_follows_its_letter() {
        let mut pieces = vec![
            Piece { character: 'ب', u0: 0.0, u1: 5.0, place: 2.5 },
            Piece { character: '\u{64E}', u0: 6.0, u1: 8.0, place: 7.0 },
            Piece { character: 'ح', u0: 5.0, u1: 10.0, place: 7.5 },
        ];
        reorder(&mut pieces);
        assert_eq!(pieces.iter().map(|piece| piece.character).collect::<String>(), "حَب");
    }

    #[test]
    fn an_accent_drawn_before_its_letter_joins_it() {
        let mut pieces = standing("Mu¨nchen");
        pieces[2].u0 = 1.1;
        pieces[2].u1 = 1.8;
        join_accents(&mut pieces);
        assert_eq!(pieces.iter().map(|piece| piece.character).collect::<String>(), "München");
    }

    #[test]
    fn an_accent_by_itself_stays() {
        let mut pieces = standing("x ^ y");
        join_accents(&mut pieces);
        assert_eq!(pieces.len(), 5);
    }
}
