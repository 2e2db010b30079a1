//! Answers without a model: the sentences that fit the question best, quoted with their passages.

use std::collections::HashSet;

use vectrion_core::{Result, ids::ChunkId, search::Passage};

use super::{
    sentences::{Sentence, sentences},
    words::{share, telling_words},
};
use crate::Ports;

/// Sentences whose meaning is compared with the question's; embedding them is what the answer waits for.
const MAX_COMPARED: usize = 40;
/// Passages that sentences are taken from.
const MAX_PASSAGES: usize = 6;
/// Sentences of an answer at the most.
const MAX_QUOTES: usize = 3;
/// A further sentence must score this share of the best one.
const FURTHER_SHARE: f32 = 0.82;
/// A further sentence that is nearer than this to one already quoted says nothing new.
const SAME_MEANING: f32 = 0.92;
/// Lengths of a sentence worth quoting, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=700;

/// A sentence of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quote {
    pub(super) passage: ChunkId,
    pub(super) text: String,
}

struct Candidate<'a> {
    passage: &'a Passage,
    rank: usize,
    before: Option<String>,
    sentence: Sentence,
    shared: f32,
}

/// The best sentences of the passages (best first), in the order in which they are worth reading.
pub(super) async fn answer(ports: &Ports, question: &str, passages: &[Passage]) -> Result<Vec<Quote>> {
    let wanted = telling_words(question);
    let mut candidates = candidates(&wanted, passages);
    candidates.sort_by(|a, b| prior(b).total_cmp(&prior(a)));
    candidates.truncate(MAX_COMPARED);
    if candidates.is_empty() {
        return Ok(Vec::new());
    }

    let mut texts: Vec<String> = candidates.iter().map(|candidate| in_context(candidate)).collect();
    texts.push(question.to_owned());
    let vectors = ports.embedder.embed_texts(&texts).await?;
    let Some((asked, vectors)) = vectors.split_last() else { return Ok(Vec::new()) };
    let mut scored: Vec<(f32, usize)> = candidates
        .iter()
        .zip(vectors)
        .map(|(candidate, vector)| score(candidate, cosine(asked, vector)))
        .zip(0..)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));

    let best = scored[0].0;
    let mut chosen: Vec<usize> = Vec::new();
    for (score, index) in scored {
        let is_new = chosen.iter().all(|other| cosine(&vectors[*other], &vectors[index]) < SAME_MEANING);
        if chosen.is_empty() || (score >= best * FURTHER_SHARE && is_new) {
            chosen.push(index);
        }
        if chosen.len() == MAX_QUOTES {
            break;
        }
    }
    Ok(quotes(&candidates, &chosen))
}

/// A sentence that begins by pointing back is quoted with the one before it.
fn quotes(candidates: &[Candidate<'_>], chosen: &[usize]) -> Vec<Quote> {
    let mut said = HashSet::new();
    let mut out = Vec::new();
    for index in chosen {
        let candidate = &candidates[*index];
        let points_back = ["it ", "this ", "these ", "they ", "that ", "those ", "he ", "she ", "such ", "dies"]
            .iter()
            .any(|word| candidate.sentence.text.to_lowercase().starts_with(word));
        let before = candidate.before.clone().filter(|_| points_back);
        for text in before.into_iter().chain([candidate.sentence.text.clone()]) {
            if said.insert(text.clone()) {
                out.push(Quote { passage: candidate.passage.id, text });
            }
        }
    }
    out
}

fn candidates<'a>(wanted: &HashSet<String>, passages: &'a [Passage]) -> Vec<Candidate<'a>> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for (rank, passage) in passages.iter().take(MAX_PASSAGES).enumerate() {
        let headings: HashSet<&str> = passage.heading_path.iter().map(|heading| heading.trim()).collect();
        let mut before: Option<String> = None;
        for sentence in sentences(&passage.text) {
            let worth = LENGTHS.contains(&sentence.text.chars().count())
                && !headings.contains(sentence.text.as_str())
                && sentence.text.chars().filter(|c| c.is_alphabetic()).count() >= 8;
            if worth && seen.insert(sentence.text.clone()) {
                let shared = share(wanted, &telling_words(&sentence.text));
                out.push(Candidate { passage, rank, before: before.take(), sentence: sentence.clone(), shared });
            }
            before = Some(sentence.text).filter(|_| sentence.is_prose);
        }
    }
    out
}

/// What a sentence says in its place: under its heading.
fn in_context(candidate: &Candidate<'_>) -> String {
    match candidate.passage.heading_path.last() {
        Some(heading) if !candidate.sentence.is_prose => format!("{heading}: {}", candidate.sentence.text),
        _ => candidate.sentence.text.clone(),
    }
}

/// What can be said before the meaning is compared.
fn prior(candidate: &Candidate<'_>) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    let by_rank = 0.3 / (1.0 + candidate.rank as f32);
    candidate.shared + by_rank + if candidate.sentence.is_prose { 0.25 } else { 0.0 }
}

/// Meaning first, then shared words, the passage's rank, and whether it reads as a sentence: a heading or page header is
/// near the question because it names the subject, and says nothing about it.
fn score(candidate: &Candidate<'_>, meaning: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    let by_rank = 0.08 / (1.0 + candidate.rank as f32);
    let form = if candidate.sentence.is_prose {
        0.08
    } else if candidate.sentence.text.contains(" | ") || candidate.sentence.text.chars().any(|c| c.is_numeric()) {
        0.0
    } else {
        -0.12
    };
    let asks_back = if candidate.sentence.text.ends_with('?') { -0.2 } else { 0.0 };
    meaning + 0.3 * candidate.shared + by_rank + form + asks_back
}

/// Of vectors of unit length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
