//! Searches and questions.

use vectrion::v1;
use vectrion_core::{
    Error, Result,
    answer::{Question, Turn, TurnRole},
    search::{SearchFilter, SearchMode, SearchQuery},
    text::normalise,
};
use vectrion_pipeline::CollectionRef;

use super::{documents::document_ids, fields::at_most, metadata::conditions};

const MAX_TOP_K: u32 = 100;
const DEFAULT_RETRIEVE_TOP_K: u32 = 10;
const DEFAULT_ANSWER_TOP_K: u32 = 8;
const MAX_COLLECTIONS: usize = 100;
const MAX_TURNS: usize = 50;
/// Characters of a question or turn at the most, whatever the setting.
const MAX_CHARS: usize = 8192;

/// The collections and the search.
pub(crate) fn retrieve(message: v1::RetrieveRequest, max_chars: usize) -> Result<(Vec<CollectionRef>, SearchQuery)> {
    let (collections, filter) = filter(message.filter)?;
    let query = SearchQuery {
        text: text("query", &message.query, max_chars)?,
        mode: mode(message.mode)?,
        top_k: top_k(message.top_k, DEFAULT_RETRIEVE_TOP_K)?,
        min_score: min_score(message.min_score)?,
        filter,
    };
    Ok((collections, query))
}

/// The collections and the question.
pub(crate) fn answer(message: v1::AnswerRequest, max_chars: usize) -> Result<(Vec<CollectionRef>, Question)> {
    let (collections, filter) = filter(message.filter)?;
    let search = SearchQuery {
        text: text("question", &message.question, max_chars)?,
        mode: mode(message.mode)?,
        top_k: top_k(message.top_k, DEFAULT_ANSWER_TOP_K)?,
        min_score: min_score(message.min_score)?,
        filter,
    };
    let turns = at_most("history", message.history, MAX_TURNS)?;
    let history = turns.into_iter().enumerate().map(|(n, message)| turn(n, &message)).collect::<Result<_>>()?;
    let max_tokens =
        u32::try_from(message.max_tokens).map_err(|_| Error::invalid_field("max_tokens", "must not be negative"))?;
    Ok((collections, Question { search, history, max_tokens: (max_tokens != 0).then_some(max_tokens) }))
}

fn turn(n: usize, message: &v1::Turn) -> Result<Turn> {
    let role = match v1::TurnRole::try_from(message.role) {
        Ok(v1::TurnRole::User) => TurnRole::User,
        Ok(v1::TurnRole::Assistant) => TurnRole::Assistant,
        Ok(v1::TurnRole::Unspecified) | Err(_) => {
            let rule = "must be TURN_ROLE_USER or TURN_ROLE_ASSISTANT";
            return Err(Error::invalid_field(format!("history[{n}].role"), rule));
        }
    };
    Ok(Turn { role, text: text(&format!("history[{n}].text"), &message.text, MAX_CHARS)? })
}

/// Normalised and trimmed, not empty, bounded.
fn text(field: &str, text: &str, max_chars: usize) -> Result<String> {
    let max_chars = max_chars.min(MAX_CHARS);
    let text = normalise(text).trim().to_owned();
    if text.is_empty() {
        return Err(Error::invalid_field(field, "must not be empty"));
    }
    if text.chars().nth(max_chars).is_some() {
        return Err(Error::invalid_field(field, format!("has at most {max_chars} characters")));
    }
    Ok(text)
}

fn mode(number: i32) -> Result<SearchMode> {
    match v1::SearchMode::try_from(number) {
        Ok(v1::SearchMode::Unspecified | v1::SearchMode::Hybrid) => Ok(SearchMode::Hybrid),
        Ok(v1::SearchMode::Dense) => Ok(SearchMode::Dense),
        Ok(v1::SearchMode::Sparse) => Ok(SearchMode::Sparse),
        Err(_) => {
            Err(Error::invalid_field("mode", "must be SEARCH_MODE_HYBRID, SEARCH_MODE_DENSE or SEARCH_MODE_SPARSE"))
        }
    }
}

fn top_k(number: i32, default: u32) -> Result<u32> {
    match u32::try_from(number) {
        Ok(0) => Ok(default),
        Ok(number) if number <= MAX_TOP_K => Ok(number),
        _ => Err(Error::invalid_field("top_k", format!("must be 1 to {MAX_TOP_K}, or 0 for {default}"))),
    }
}

fn min_score(score: Option<f32>) -> Result<Option<f32>> {
    if score.is_some_and(|score| !score.is_finite()) {
        return Err(Error::invalid_field("min_score", "must be a finite number"));
    }
    Ok(score)
}

fn filter(message: Option<v1::SearchFilter>) -> Result<(Vec<CollectionRef>, SearchFilter)> {
    let message = message.unwrap_or_default();
    let names = at_most("filter.collections", message.collections, MAX_COLLECTIONS)?;
    if names.iter().any(String::is_empty) {
        return Err(Error::invalid_field(
            "filter.collections",
            "holds names or ids of collections, none of them empty",
        ));
    }
    let filter = SearchFilter {
        collections: Vec::new(),
        documents: document_ids("filter.document_ids", message.document_ids)?,
        metadata: conditions("filter.metadata", message.metadata)?,
    };
    Ok((names.iter().map(|name| CollectionRef::parse(name)).collect(), filter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::tests::field;

    fn asked(question: &str) -> v1::AnswerRequest {
        v1::AnswerRequest { question: question.into(), ..Default::default() }
    }

    #[test]
    fn a_question_is_normalised_and_the_rest_has_defaults() {
        let (collections, question) = answer(asked("  of\u{200B}\u{FB01}ce? \n"), 8192).expect("fine");
        assert_eq!(question.search.text, "office?");
        assert_eq!((question.search.top_k, question.search.mode), (8, SearchMode::Hybrid));
        assert_eq!((question.max_tokens, question.search.min_score), (None, None));
        assert!(collections.is_empty() && question.history.is_empty());
        let (_, query) = retrieve(v1::RetrieveRequest { query: "x".into(), ..Default::default() }, 8192).expect("fine");
        assert_eq!(query.top_k, 10);
    }

    #[test]
    fn what_is_invisible_is_no_question() {
        for empty in ["", "  \n", "\u{200B}\u{FEFF}", "\u{E0041}"] {
            assert_eq!(field(answer(asked(empty), 8192)), "question");
        }
    }

    #[test]
    fn the_length_counts_characters_after_normalisation() {
        assert!(answer(asked(&"é".repeat(8192)), 8192).is_ok());
        assert_eq!(field(answer(asked(&"é".repeat(8193)), 8192)), "question");
        assert_eq!(field(answer(asked("eleven char"), 10)), "question");
        assert!(answer(asked(&"x".repeat(8193)), 1_000_000).is_err(), "the contract's own bound");
    }

    #[test]
    fn broken_questions_are_named() {
        let broken = |change: fn(&mut v1::AnswerRequest)| {
            let mut message = asked("what?");
            change(&mut message);
            field(answer(message, 8192))
        };
        assert_eq!(broken(|a| a.top_k = -1), "top_k");
        assert_eq!(broken(|a| a.top_k = 101), "top_k");
        assert_eq!(broken(|a| a.mode = 9), "mode");
        assert_eq!(broken(|a| a.min_score = Some(f32::NAN)), "min_score");
        assert_eq!(broken(|a| a.min_score = Some(f32::INFINITY)), "min_score");
        assert_eq!(broken(|a| a.max_tokens = -1), "max_tokens");
        assert_eq!(broken(|a| a.history = vec![v1::Turn { role: 1, text: "x".into() }; 51]), "history");
        assert_eq!(broken(|a| a.history = vec![v1::Turn { role: 0, text: "x".into() }]), "history[0].role");
        assert_eq!(broken(|a| a.history = vec![v1::Turn { role: 1, text: " ".into() }]), "history[0].text");
        assert_eq!(
            broken(|a| a.filter = Some(v1::SearchFilter { document_ids: vec!["x".into()], ..Default::default() })),
            "filter.document_ids"
        );
        assert_eq!(
            broken(|a| a.filter = Some(v1::SearchFilter { collections: vec![String::new()], ..Default::default() })),
            "filter.collections"
        );
    }

    #[test]
    fn turns_keep_their_order_and_speakers() {
        let turn = |role: v1::TurnRole, text: &str| v1::Turn { role: role.into(), text: text.into() };
        let message = v1::AnswerRequest {
            history: vec![turn(v1::TurnRole::User, "who?"), turn(v1::TurnRole::Assistant, "they")],
            max_tokens: 5,
            ..asked("and why?")
        };
        let (_, question) = answer(message, 8192).expect("fine");
        assert_eq!(question.max_tokens, Some(5));
        assert_eq!(question.history[1], Turn { role: TurnRole::Assistant, text: "they".into() });
        assert_eq!(question.history[0].role, TurnRole::User);
    }

    #[test]
    fn collections_are_named_or_given_by_id() {
        let filter = v1::SearchFilter {
            collections: vec!["reports".into(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into()],
            ..Default::default()
        };
        let (collections, _) = answer(v1::AnswerRequest { filter: Some(filter), ..asked("x") }, 8192).expect("fine");
        assert!(matches!(collections[..], [CollectionRef::Name(_), CollectionRef::Id(_)]));
    }
}
