//! How texts are put into requests, by estimates: the tokenizer of a remote model is not here.

use std::ops::Range;

/// Bytes that a token has at least, as a rule: four in English, two to three in scripts beyond Latin. Exotic text may
/// have less and is then refused by the model, with an error that says so.
const MIN_BYTES_PER_TOKEN: usize = 2;

/// Tokens of a text at the most, as a rule.
pub(super) fn estimated_tokens(text: &str) -> usize {
    text.len().div_ceil(MIN_BYTES_PER_TOKEN)
}

/// The text in pieces of so many estimated tokens, cut at white space where there is some; one piece if it fits.
pub(super) fn windows(text: &str, max_tokens: usize) -> Vec<&str> {
    let max_bytes = max_tokens.saturating_mul(MIN_BYTES_PER_TOKEN).max(4);
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > max_bytes {
        let limit = rest.floor_char_boundary(max_bytes);
        let cut = rest[..limit].rfind(char::is_whitespace).filter(|at| *at > 0).unwrap_or(limit);
        let (piece, behind) = rest.split_at(cut);
        pieces.push(piece);
        rest = behind.trim_start();
    }
    if pieces.is_empty() || !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Consecutive inputs that go into one request each: at most so many, of at most so many tokens together. An input
/// that is larger by itself goes alone.
pub(super) fn batches(tokens: &[usize], max_inputs: usize, max_tokens: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut sum) = (0, 0_usize);
    for (at, cost) in tokens.iter().copied().enumerate() {
        if at > start && (at - start >= max_inputs || sum.saturating_add(cost) > max_tokens) {
            batches.push(start..at);
            (start, sum) = (at, 0);
        }
        sum = sum.saturating_add(cost);
    }
    if start < tokens.len() {
        batches.push(start..tokens.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_both_limits_and_lose_nothing() {
        assert_eq!(batches(&[1; 5], 2, 100), [0..2, 2..4, 4..5]);
        assert_eq!(batches(&[3, 3, 9, 1, 1], 10, 6), [0..2, 2..3, 3..5]);
        assert!(batches(&[], 2, 2).is_empty());
        assert_eq!(batches(&[50], 2, 2), std::slice::from_ref(&(0..1)));
    }

    #[test]
    fn windows_hold_every_word_within_the_limit() {
        let text = "wörd ".repeat(50);
        let pieces = windows(&text, 10);
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| estimated_tokens(piece) <= 10));
        let words: Vec<&str> = pieces.iter().flat_map(|piece| piece.split_whitespace()).collect();
        assert_eq!(words, vec!["wörd"; 50]);
        assert_eq!(windows("short", 10), ["short"]);
        assert_eq!(windows("", 10), [""]);
        assert_eq!(windows(&"ü".repeat(30), 10).concat(), "ü".repeat(30), "without white space it is cut anyway");
    }
}
