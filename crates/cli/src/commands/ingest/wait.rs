//! Waiting until documents are indexed or failed.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tonic::Code;
use vectrion::client::Client;
use vectrion::v1::{
    Document, DocumentFilter, ListDocumentsRequest, WatchDocumentsRequest, watch_documents_response::Event,
};

use super::{Bars, is_final};
use crate::{
    failure::{Failure, broke_on_the_way},
    output::{self, counted},
};

/// Wait before a lost watch is begun again.
const PAUSE: Duration = Duration::from_millis(500);
/// Times in a row that a watch may fail before the command gives up.
const TRIES: u32 = 40;
/// Documents asked for in one call.
const ASKED_AT_ONCE: usize = 500;
/// Time between lines of progress in a pipe.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// Documents that are not final yet, with the positions of their files: several files can be one document.
#[derive(Default)]
pub(super) struct Waiting {
    positions: HashMap<String, Vec<usize>>,
    revision: i64,
}

impl Waiting {
    pub(super) fn add(&mut self, position: usize, document: Document) {
        let before = document.revision - 1;
        self.revision = if self.positions.is_empty() { before } else { self.revision.min(before) };
        self.positions.entry(document.document_id).or_default().push(position);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn len(&self) -> usize {
        self.positions.len()
    }
}

/// Follows the documents until each is final, and hands each over with the position of its file.
pub(super) async fn wait(
    client: &Client,
    mut waiting: Waiting,
    bars: &Bars,
    mut done: impl FnMut(usize, Document) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failures = 0;
    let mut told = tokio::time::Instant::now();
    // What became final before the watch began is found by asking once.
    let mut ask = true;
    while !waiting.is_empty() {
        if ask {
            let ids: HashSet<String> = waiting.positions.keys().cloned().collect();
            match catch_up(client, ids, &mut waiting, bars, &mut done).await {
                Ok(()) => ask = false,
                Err(failure) => {
                    failures += 1;
                    give_up_or_pause(failure, failures).await?;
                    continue;
                }
            }
        }
        let request =
            WatchDocumentsRequest { filter: Some(DocumentFilter::default()), after_revision: waiting.revision.max(1) };
        let mut stream = match client.ingestion().watch_documents(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                failures += 1;
                give_up_or_pause(status.into(), failures).await?;
                continue;
            }
        };
        while !waiting.is_empty() {
            match stream.message().await {
                Ok(Some(message)) => {
                    failures = 0;
                    waiting.revision = message.revision;
                    match message.event {
                        Some(Event::Changed(document)) => take(document, &mut waiting, bars, &mut done)?,
                        Some(Event::Removed(removed)) => {
                            if waiting.positions.remove(&removed.document_id).is_some() {
                                return Err(deleted(&removed.document_id));
                            }
                        }
                        Some(Event::Resync(_)) => {
                            ask = true;
                            break;
                        }
                        Some(Event::Heartbeat(_)) | None => {}
                    }
                    if !output::progress_is_seen() && told.elapsed() > TELL_EVERY && !waiting.is_empty() {
                        told = tokio::time::Instant::now();
                        output::note(&format!("waiting for {}", counted(waiting.len(), "document")));
                    }
                }
                Ok(None) | Err(_) => {
                    ask = true;
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
            }
        }
    }
    Ok(())
}

fn deleted(id: &str) -> Failure {
    Failure::Other(anyhow::anyhow!("document {id} was deleted while it was waited for"))
}

async fn catch_up(
    client: &Client,
    ids: HashSet<String>,
    waiting: &mut Waiting,
    bars: &Bars,
    done: &mut impl FnMut(usize, Document) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ids: Vec<String> = ids.into_iter().collect();
    for some in ids.chunks(ASKED_AT_ONCE) {
        let filter = DocumentFilter { document_ids: some.to_vec(), ..DocumentFilter::default() };
        let request = ListDocumentsRequest { filter: Some(filter), page_size: 1000, ..ListDocumentsRequest::default() };
        let found = client.ingestion().list_documents(request).await?.into_inner().documents;
        let known: HashSet<&str> = found.iter().map(|document| document.document_id.as_str()).collect();
        // Nobody tells of it again: what the watch missed is not in its history any more.
        if let Some(gone) = some.iter().find(|id| !known.contains(id.as_str())) {
            return Err(deleted(gone));
        }
        for document in found {
            take(document, waiting, bars, done)?;
        }
    }
    Ok(())
}

fn take(
    document: Document,
    waiting: &mut Waiting,
    bars: &Bars,
    done: &mut impl FnMut(usize, Document) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !waiting.positions.contains_key(&document.document_id) {
        return Ok(());
    }
    if !is_final(&document) {
        bars.working_on(&document);
        return Ok(());
    }
    for position in waiting.positions.remove(&document.document_id).unwrap_or_default() {
        bars.ended();
        done(position, document.clone())?;
    }
    Ok(())
}

async fn give_up_or_pause(failure: Failure, failures: u32) -> Result<(), Failure> {
    let passing = matches!(&failure, Failure::Refused(status)
        if broke_on_the_way(status) || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded));
    if !passing || failures >= TRIES {
        return Err(failure);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
