//! Answers without a model: the sentences that fit the question best, quoted with their passages.

use std::collections::{HashMap, HashSet};

use vectrion_core::{Result, ids::ChunkId, search::Passage};

use super::{
    sentences::{Sentence, sentences},
    words::telling_words,
};
use crate::Ports;

/// Sentences whose meaning is compared with the question's; embedding them is what the answer waits for.
const MAX_COMPARED: usize = 48;
/// Passages that sentences are taken from.
const MAX_PASSAGES: usize = 8;
/// Places of an answer at the most; each is a sentence and what belongs to it.
const MAX_PLACES: usize = 3;
/// A further place must score this share of the best one.
const FURTHER_SHARE: f32 = 0.8;
/// A further sentence that is nearer than this to one already quoted says nothing new.
const SAME_MEANING: f32 = 0.92;
/// Characters of a place up to which the sentence that follows is quoted with it.
const SHORT_PLACE: usize = 160;
/// What a word of the question that only stands in the heading above counts.
const HEADING_SHARE: f32 = 0.6;
/// What sharing all words of the question counts beside meaning, whose cosine is 1 at the most.
const WORDS_SHARE: f32 = 0.5;
/// Meaning and shared words of a sentence that answers, at the least.
const LEAST_FIT: f32 = 0.5;
/// Lengths of a sentence worth quoting, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 6..=700;

/// A sentence of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quote {
    pub(super) passage: ChunkId,
    pub(super) text: String,
    /// Whether it goes on from the quote before it.
    pub(super) goes_on: bool,
}

struct Candidate<'a> {
    passage: &'a Passage,
    rank: usize,
    /// All sentences of the passage, and which one this is.
    neighbours: &'a [Sentence],
    index: usize,
    shared: f32,
}

impl Candidate<'_> {
    fn sentence(&self) -> &Sentence {
        &self.neighbours[self.index]
    }

    fn is_row(&self) -> bool {
        is_row(&self.sentence().text)
    }
}

fn is_row(text: &str) -> bool {
    text.contains(" | ")
}

/// The best sentences of the passages (best first), in the order in which they are worth reading.
pub(super) async fn answer(ports: &Ports, question: &str, passages: &[Passage]) -> Result<Vec<Quote>> {
    let read: Vec<Vec<Sentence>> = passages.iter().take(MAX_PASSAGES).map(|passage| sentences(&passage.text)).collect();
    let mut candidates = candidates(question, passages, &read);
    candidates.sort_by(|a, b| prior(b).total_cmp(&prior(a)));
    candidates.truncate(MAX_COMPARED);
    if candidates.is_empty() {
        return Ok(Vec::new());
    }

    let mut texts: Vec<String> = candidates.iter().map(in_context).collect();
    texts.push(question.to_owned());
    let vectors = ports.embedder.embed_texts(&texts).await?;
    let Some((asked, vectors)) = vectors.split_last() else { return Ok(Vec::new()) };
    let meanings: Vec<f32> = vectors.iter().map(|vector| cosine(asked, vector)).collect();
    let mut scored: Vec<(f32, usize)> =
        candidates.iter().zip(&meanings).map(|(candidate, meaning)| score(candidate, *meaning)).zip(0..).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));

    let (best, first) = scored[0];
    let (meaning, shared) = (meanings[first], candidates[first].shared);
    tracing::debug!(meaning, shared, score = best, sentences = candidates.len(), "best sentence for a question");
    if !fits(meaning, shared) {
        return Ok(Vec::new());
    }
    let mut chosen: Vec<usize> = Vec::new();
    for (score, index) in scored {
        let is_new = chosen.iter().all(|other| cosine(&vectors[*other], &vectors[index]) < SAME_MEANING);
        if chosen.is_empty() || (score >= best * FURTHER_SHARE && is_new) {
            chosen.push(index);
        }
        if chosen.len() == MAX_PLACES {
            break;
        }
    }
    Ok(quotes(&candidates, &chosen))
}

/// Each chosen sentence with what belongs to it: the one before if it points back, the one after if it is short and goes
/// on, for a row the head of its table.
fn quotes(candidates: &[Candidate<'_>], chosen: &[usize]) -> Vec<Quote> {
    let mut said = HashSet::new();
    let mut out = Vec::new();
    for index in chosen {
        let candidate = &candidates[*index];
        let mut goes_on = false;
        for text in place(candidate) {
            if said.insert(text.clone()) {
                out.push(Quote { passage: candidate.passage.id, text, goes_on });
                goes_on = !candidate.is_row();
            }
        }
    }
    out
}

fn place(candidate: &Candidate<'_>) -> Vec<String> {
    let (all, at) = (candidate.neighbours, candidate.index);
    let sentence = &all[at];
    if candidate.is_row() {
        return head_of_table(all, at).into_iter().chain([at]).map(|at| all[at].text.clone()).collect();
    }
    let together = |other: &&Sentence| other.paragraph == sentence.paragraph && other.is_prose;
    let before = at.checked_sub(1).map(|at| &all[at]).filter(together).filter(|_| points_back(&sentence.text));
    let after = all.get(at + 1).filter(together).filter(|_| sentence.is_prose && sentence.text.len() < SHORT_PLACE);
    before.into_iter().chain([sentence]).chain(after).map(|sentence| sentence.text.clone()).collect()
}

/// Which sentence is the first row of the table that a row is in, unless it is that row.
fn head_of_table(all: &[Sentence], row: usize) -> Option<usize> {
    (0..row).rev().take_while(|at| is_row(&all[*at].text)).last()
}

fn points_back(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "it ", "its ", "this ", "these ", "they ", "their ", "that ", "those ", "he ", "she ", "such ", "both ",
        "dies", "er ", "sie ", "es ",
    ]
    .iter()
    .any(|word| text.starts_with(word))
}

fn candidates<'a>(question: &str, passages: &'a [Passage], read: &'a [Vec<Sentence>]) -> Vec<Candidate<'a>> {
    let wanted = telling_words(question);
    let words: Vec<Vec<HashSet<String>>> =
        read.iter().map(|all| all.iter().map(|sentence| telling_words(&sentence.text)).collect()).collect();
    let weights = weights(&wanted, words.iter().flatten());
    let total: f32 = weights.values().sum();
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for (rank, ((passage, all), words)) in passages.iter().zip(read).zip(&words).enumerate() {
        for (index, sentence) in all.iter().enumerate() {
            let is_row = is_row(&sentence.text);
            let head = is_row.then(|| head_of_table(all, index)).flatten();
            let letters = sentence.text.chars().filter(|c| c.is_alphabetic()).count();
            let worth = LENGTHS.contains(&sentence.text.chars().count())
                && letters >= 3
                && !asks(sentence)
                && !is_heading(passage, &sentence.text)
                && !(is_row && head.is_none());
            if worth && seen.insert(sentence.text.as_str()) {
                let mut there = words[index].clone();
                if let Some(head) = head {
                    there.extend(words[head].iter().cloned());
                    there.extend(passage.heading_path.last().into_iter().flat_map(|heading| telling_words(heading)));
                }
                let above = heading_above(passage, all, index).map(telling_words).unwrap_or_default();
                let weight = |word: &String| match (there.contains(word), above.contains(word)) {
                    (true, _) => weights[word],
                    (false, true) => weights[word] * HEADING_SHARE,
                    (false, false) => 0.0,
                };
                let shared: f32 = wanted.iter().map(weight).sum();
                let shared = if total > 0.0 { shared / total } else { 0.0 };
                out.push(Candidate { passage, rank, neighbours: all, index, shared });
            }
        }
    }
    out
}

/// The nearest line above that looks like a heading, else the innermost heading of the passage.
fn heading_above<'a>(passage: &'a Passage, all: &'a [Sentence], index: usize) -> Option<&'a str> {
    let line = (0..index).rev().find(|at| looks_like_heading(&all[*at]) || asks_alone(all, *at)).map(|at| &all[at]);
    line.map(|sentence| sentence.text.as_str()).or(passage.heading_path.last().map(String::as_str))
}

/// A question in a document answers none.
fn asks(sentence: &Sentence) -> bool {
    sentence.text.ends_with(['?', '？', '؟'])
}

/// A question that is a paragraph by itself: what follows answers it.
fn asks_alone(all: &[Sentence], at: usize) -> bool {
    let is_other = |other: Option<usize>| {
        other.and_then(|at| all.get(at)).is_none_or(|other| other.paragraph != all[at].paragraph)
    };
    asks(&all[at]) && is_other(at.checked_sub(1)) && is_other(Some(at + 1))
}

/// A short line that is neither prose nor a row nor an item and names no figure.
fn looks_like_heading(sentence: &Sentence) -> bool {
    !sentence.is_prose
        && !is_row(&sentence.text)
        && !is_item(&sentence.text)
        && sentence.text.split(' ').count() <= 8
        && !sentence.text.ends_with(['.', '!', '?', ';', ','])
}

fn is_item(text: &str) -> bool {
    text.chars().next().is_some_and(|c| matches!(c, '•' | '-' | '–' | '▪' | '●'))
}

/// What each word of the question tells: the fewer sentences it stands in, the more. `sentences` are the words of each.
fn weights<'a>(wanted: &HashSet<String>, sentences: impl Iterator<Item = &'a HashSet<String>>) -> HashMap<String, f32> {
    let mut counts: HashMap<&String, usize> = wanted.iter().map(|word| (word, 0)).collect();
    let mut total = 0_usize;
    for words in sentences {
        total += 1;
        for (word, count) in &mut counts {
            *count += usize::from(words.contains(*word));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
    counts
        .into_iter()
        .map(|(word, count)| (word.clone(), ((total + 1) as f32 / (count + 1) as f32).ln() + 0.5))
        .collect()
}

/// Whether a line is one of the headings above the passage, or the document's title; numbering aside.
fn is_heading(passage: &Passage, text: &str) -> bool {
    let bare = |text: &str| {
        text.trim_start_matches(|c: char| c.is_numeric() || c == '.' || c.is_whitespace()).trim().to_lowercase()
    };
    let line = bare(text);
    passage.heading_path.iter().chain(&passage.title).any(|heading| bare(heading) == line)
}

/// What a sentence says in its place: a row under its heading and the head of its table, an item under its heading.
fn in_context(candidate: &Candidate<'_>) -> String {
    let sentence = candidate.sentence();
    if sentence.is_prose {
        return sentence.text.clone();
    }
    let heading = candidate.passage.heading_path.last().map_or("", String::as_str);
    let head = candidate.is_row().then(|| head_of_table(candidate.neighbours, candidate.index)).flatten();
    let head = head.map_or("", |head| candidate.neighbours[head].text.as_str());
    format!("{heading} {head} {}", sentence.text).trim().to_owned()
}

/// What can be said before the meaning is compared.
fn prior(candidate: &Candidate<'_>) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    let by_rank = 0.3 / (1.0 + candidate.rank as f32);
    candidate.shared + by_rank + if candidate.sentence().is_prose { 0.2 } else { 0.0 }
}

/// Meaning and shared words, the passage's rank, and whether it reads as a sentence: a caption or page header is near the
/// question because it names the subject, and says nothing about it.
fn score(candidate: &Candidate<'_>, meaning: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    let by_rank = 0.06 / (1.0 + candidate.rank as f32);
    let text = &candidate.sentence().text;
    let form = match (candidate.sentence().is_prose, candidate.is_row()) {
        (true, _) => 0.08,
        (false, true) => 0.0,
        (false, false) if is_item(text) => 0.0,
        (false, false) if looks_like_heading(candidate.sentence()) => -0.4,
        (false, false) => -0.2,
    };
    meaning + WORDS_SHARE * candidate.shared + by_rank + form
}

/// Whether a sentence is near enough to the question to be an answer to it, by meaning, by the words they share, or by some
/// of both. The passage around it was found for its subject; when no sentence in it says more, nothing answers.
fn fits(meaning: f32, shared: f32) -> bool {
    meaning + WORDS_SHARE * shared >= LEAST_FIT
}

/// Of vectors of unit length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_fits_by_its_meaning_or_its_words_or_some_of_both() {
        assert!(fits(0.6, 0.0));
        assert!(fits(0.1, 0.9));
        assert!(fits(0.4, 0.3));
        assert!(!fits(0.35, 0.2));
    }

    #[test]
    fn a_question_of_the_document_is_the_heading_of_what_follows() {
        let all = sentences("Scope\n\nHow long does the warranty last?\n\nThirty-six months. Is that long? It is.");
        let questions: Vec<usize> = (0..all.len()).filter(|at| asks(&all[*at])).collect();
        assert_eq!(questions, [1, 3], "{all:?}");
        assert_eq!(questions.iter().map(|at| asks_alone(&all, *at)).collect::<Vec<_>>(), [true, false]);
    }
}
