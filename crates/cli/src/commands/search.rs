//! `vectrion search`.

use vectrion::client::Client;
use vectrion::v1::{Passage, RetrieveRequest, SearchFilter, SearchMode};

use super::values;
use crate::{
    args::{Mode, SearchArgs, SearchOptions},
    failure::Failure,
    output::{self, Output},
};

pub(crate) async fn run(client: &Client, output: &Output, args: SearchArgs) -> Result<(), Failure> {
    let request = RetrieveRequest {
        query: args.question,
        mode: mode(args.options.mode).into(),
        top_k: top_k(&args.options),
        min_score: args.options.min_score,
        filter: Some(filter(&args.options)?),
    };
    let passages = client.query().retrieve(request).await?.into_inner().passages;
    for (position, passage) in passages.iter().enumerate() {
        output.message("Passage", passage, |passage| describe(position + 1, passage))?;
    }
    if passages.is_empty() && !output.is_json() {
        output::note("nothing found");
    }
    Ok(())
}

pub(crate) fn mode(mode: Mode) -> SearchMode {
    match mode {
        Mode::Hybrid => SearchMode::Hybrid,
        Mode::Dense => SearchMode::Dense,
        Mode::Sparse => SearchMode::Sparse,
    }
}

/// 0 leaves the number to the server.
pub(crate) fn top_k(options: &SearchOptions) -> i32 {
    options.top_k.and_then(|top_k| i32::try_from(top_k).ok()).unwrap_or(0)
}

pub(crate) fn filter(options: &SearchOptions) -> Result<SearchFilter, Failure> {
    Ok(SearchFilter {
        collections: options.collection.clone(),
        document_ids: options.document.clone(),
        metadata: values::conditions(&options.filter)?,
    })
}

fn describe(position: usize, passage: &Passage) -> String {
    let part = |name: &str, score: Option<f32>| score.map_or_else(String::new, |score| format!("  {name} {score:.3}"));
    let heading = match passage.heading_path.is_empty() {
        true => String::new(),
        false => format!("   {}\n", passage.heading_path.join(" › ")),
    };
    format!(
        "{position}. {}  score {:.4}{}{}\n{heading}   {}\n",
        place(passage),
        passage.score,
        part("dense", passage.dense_score),
        part("bm25", passage.sparse_score),
        passage.text.trim().replace('\n', "\n   "),
    )
}

/// `handbook.pdf, page 3` or `handbook.pdf, pages 3-4`.
pub(crate) fn place(passage: &Passage) -> String {
    if passage.page_start == passage.page_end {
        format!("{}, page {}", passage.filename, passage.page_start)
    } else {
        format!("{}, pages {}-{}", passage.filename, passage.page_start, passage.page_end)
    }
}
