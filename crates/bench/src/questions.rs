//! Files of questions.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// A question.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Question {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The questions of a file, one JSON object a line; at least one.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Question>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let questions: Vec<Question> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| path.display().to_string())?;
    ensure!(!questions.is_empty(), "{} holds no question", path.display());
    Ok(questions)
}
