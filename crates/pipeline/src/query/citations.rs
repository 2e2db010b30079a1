//! Citations of a model's answer: markers out of the text, each checked against its passage.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;
use vectrion_core::search::Passage;

use super::{
    sentences::{fold, sentences},
    words::{share, telling_words},
};

/// Longest marker, such as `[1, 2, 13]`; a longer bracket is text.
const MAX_MARKER: usize = 24;
/// Share of a sentence's telling words that its passage must hold.
const MIN_SUPPORT: f32 = 0.4;

/// A piece of a model's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text without markers.
    Text(String),
    /// Numbers of passages, counted from 1.
    Marker(Vec<usize>),
}

/// Takes `[n]` markers out of streamed text, wherever the pieces are cut. Holds back what may become a marker, and the
/// blanks before it.
#[derive(Default)]
pub(super) struct MarkerParser {
    blanks: usize,
    bracket: Option<String>,
}

impl MarkerParser {
    /// Takes the next piece in, and gives what is certain.
    pub(super) fn push(&mut self, delta: &str) -> Vec<Piece> {
        let mut out = Vec::new();
        for c in delta.chars() {
            self.step(c, &mut out);
        }
        out
    }

    /// Gives what is left at the end.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let mut out = Vec::new();
        self.release(&mut out);
        out
    }

    fn step(&mut self, c: char, out: &mut Vec<Piece>) {
        if let Some(bracket) = &mut self.bracket {
            bracket.push(c);
            match c {
                ']' => match numbers(bracket) {
                    Some(numbers) => {
                        (self.blanks, self.bracket) = (0, None);
                        out.push(Piece::Marker(numbers));
                    }
                    None => self.release(out),
                },
                '0'..='9' | ',' | ' ' if bracket.len() < MAX_MARKER => {}
                _ => {
                    bracket.pop();
                    self.release(out);
                    self.step(c, out);
                }
            }
            return;
        }
        match c {
            ' ' => self.blanks += 1,
            '[' => self.bracket = Some("[".to_owned()),
            _ => {
                self.release(out);
                append(out, c.encode_utf8(&mut [0; 4]));
            }
        }
    }

    /// What was held back was text.
    fn release(&mut self, out: &mut Vec<Piece>) {
        if self.blanks > 0 {
            append(out, &" ".repeat(self.blanks));
            self.blanks = 0;
        }
        if let Some(bracket) = self.bracket.take() {
            append(out, &bracket);
        }
    }
}

fn append(out: &mut Vec<Piece>, text: &str) {
    match out.last_mut() {
        Some(Piece::Text(before)) => before.push_str(text),
        _ => out.push(Piece::Text(text.to_owned())),
    }
}

/// The numbers of a marker; none if it is other text in brackets.
fn numbers(bracket: &str) -> Option<Vec<usize>> {
    let inner = bracket.strip_prefix('[')?.strip_suffix(']')?;
    inner.split(',').map(|number| number.trim().parse().ok().filter(|number| *number > 0)).collect()
}

/// The last sentence of the answer so far, as a byte range without the blanks around it: what a marker that comes now
/// speaks of. None if there is no text.
pub(super) fn last_sentence(answer: &str) -> Option<Range<usize>> {
    let line = answer.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let (start, sentence) = answer[line..]
        .split_sentence_bound_indices()
        .filter(|(_, sentence)| sentence.chars().any(char::is_alphanumeric))
        .last()?;
    let blank = sentence.len() - sentence.trim_start().len();
    let start = line + start + blank;
    Some(start..start + sentence.trim().len())
}

/// The words of the passage that support a sentence of the answer: none if its telling words, or its numbers, do not
/// stand there.
pub(super) fn support(sentence: &str, passage: &Passage) -> Option<String> {
    let wanted = telling_words(sentence);
    let there = telling_words(&passage.text);
    let numbers_stand =
        wanted.iter().filter(|word| word.chars().any(|c| c.is_numeric())).all(|word| there.contains(word));
    if wanted.is_empty() || !numbers_stand || share(&wanted, &there) < MIN_SUPPORT {
        return None;
    }
    sentences(&passage.text)
        .into_iter()
        .map(|candidate| (share(&wanted, &telling_words(&candidate.text)), candidate.text))
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.len().cmp(&a.1.len())))
        .filter(|(share, _)| *share > 0.0)
        .map(|(_, quote)| quote)
        .filter(|quote| fold(&passage.text).contains(quote.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&str]) -> (String, Vec<(usize, Vec<usize>)>) {
        let mut parser = MarkerParser::default();
        let mut text = String::new();
        let mut markers = Vec::new();
        let mut take = |pieces: Vec<Piece>| {
            for piece in pieces {
                match piece {
                    Piece::Text(piece) => text.push_str(&piece),
                    Piece::Marker(numbers) => markers.push((text.len(), numbers)),
                }
            }
        };
        for piece in pieces {
            take(parser.push(piece));
        }
        take(parser.finish());
        (text, markers)
    }

    #[test]
    fn markers_leave_the_text_wherever_it_is_cut() {
        let whole = "Leave is 28 days [1]. It expires [2, 3] in March [4][5].\nArrays [x] and a[i] stay [";
        let expected = run(&[whole]);
        assert_eq!(expected.0, "Leave is 28 days. It expires in March.\nArrays [x] and a[i] stay [");
        assert_eq!(
            expected.1.iter().map(|(_, numbers)| numbers.clone()).collect::<Vec<_>>(),
            [vec![1], vec![2, 3], vec![4], vec![5]]
        );
        for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            assert_eq!(run(&[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
        }
        let letters: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(run(&letters.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_marker_speaks_of_the_sentence_before_it() {
        let text = "First thing. Second thing.";
        assert_eq!(&text[last_sentence(text).unwrap()], "Second thing.");
        let text = "First thing. Half a";
        assert_eq!(&text[last_sentence(text).unwrap()], "Half a");
        assert_eq!(last_sentence("  "), None);
    }
}
