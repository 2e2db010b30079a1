//! Passages.

use vectrion::v1;
use vectrion_core::search::Passage;

use super::values::{boxes, number};

pub(super) fn passage(passage: Passage) -> v1::Passage {
    v1::Passage {
        passage_id: passage.id.to_string(),
        document_id: passage.document.to_string(),
        filename: passage.filename,
        version: number(passage.version),
        text: passage.text,
        page_start: number(passage.page_start),
        page_end: number(passage.page_end),
        char_start: number(passage.char_start),
        char_end: number(passage.char_end),
        boxes: boxes(passage.boxes),
        heading_path: passage.heading_path,
        score: passage.score,
        dense_score: passage.dense_score,
        sparse_score: passage.sparse_score,
        title: passage.title.unwrap_or_default(),
    }
}

pub(super) fn passages(passages: Vec<Passage>) -> Vec<v1::Passage> {
    passages.into_iter().map(passage).collect()
}
