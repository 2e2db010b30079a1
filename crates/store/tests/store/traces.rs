//! What the files of a database still hold of a deleted document.

use std::path::Path;

use vectrion_core::{
    answer::{AnswerEvent, AnswerEventKind, FinishReason},
    ids::{AnswerId, KeyId},
    job::Stage,
    metadata::MetadataValue,
    ports::{Answers as _, Catalog as _, Jobs as _, answers::NewAnswer, jobs::NextJob},
    search::{Passage, SearchFilter},
};
use vectrion_testkit::conformance::scenario::{Scenario, TRIES, metadata, processed};

use crate::sqlite::database;

/// How often this text stands in the files of a directory.
fn occurrences(directory: &Path, text: &str) -> usize {
    let count = |path: &Path| {
        let bytes = std::fs::read(path).expect("a file");
        bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    let files = std::fs::read_dir(directory).expect("a directory");
    files.map(|entry| count(&entry.expect("an entry").path())).sum()
}

#[tokio::test]
async fn a_deleted_document_leaves_no_trace_in_the_files() {
    const SECRET: &str = "zebra-9134";
    let (store, directory) = database().await;
    let scenario = Scenario::new(&*store).await;
    let file = scenario
        .file("a", "1")
        .named(&format!("{SECRET}.pdf"))
        .with(metadata(&[("k", MetadataValue::Text(SECRET.to_owned()))]));
    let document = scenario.admit(&file).await.document().id;
    let lease = scenario.claim(Stage::ProcessDocument).await;
    let texts: Vec<String> = (0..300).map(|i| format!("{SECRET} {i} {}", "words ".repeat(200))).collect();
    let mut result = processed(&lease, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    result.title = Some(format!("On {SECRET}"));
    for chunk in &mut result.chunks {
        chunk.draft.heading_path = vec![SECRET.to_owned()];
    }
    store.finish_processing(&lease, result, NextJob::queued(TRIES)).await.expect("processed");
    scenario.embed().await;

    let chunks =
        store.chunks_from(scenario.tenant, scenario.now(document).await.version_id, 0, 5).await.expect("chunks");
    let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
    let found = store.visible_chunks(scenario.tenant, &ids, &SearchFilter::default()).await.expect("chunks");
    let passages: Vec<Passage> = found
        .into_iter()
        .map(|found| Passage {
            id: found.chunk.id,
            document,
            version_id: found.chunk.version_id,
            version: found.chunk.version,
            filename: found.filename,
            title: found.title,
            text: found.chunk.draft.text,
            page_start: 1,
            page_end: 1,
            char_start: 0,
            char_end: 1,
            boxes: found.chunk.draft.boxes,
            heading_path: found.chunk.draft.heading_path,
            score: 1.0,
            dense_score: None,
            sparse_score: None,
        })
        .collect();
    let answer = AnswerId::new();
    let new = NewAnswer {
        id: answer,
        tenant: scenario.tenant,
        key: KeyId::new(),
        question: "What?".to_owned(),
        history: Vec::new(),
        model: "m".to_owned(),
        prompt_version: "p".to_owned(),
    };
    store.create_answer(new).await.expect("begun");
    let kinds = [
        AnswerEventKind::Retrieval { passages },
        AnswerEventKind::Delta { text: format!("It is {SECRET}.") },
        AnswerEventKind::Done { finish_reason: FinishReason::Stop },
    ];
    let events = (1..).zip(kinds).map(|(sequence, kind)| AnswerEvent { sequence, kind }).collect();
    store.append_events(scenario.tenant, answer, events).await.expect("stored");
    assert!(occurrences(directory.path(), SECRET) > 300);

    scenario.delete(document).await;
    assert_eq!(occurrences(directory.path(), SECRET), 0);
}
