//! `embed_document`: chunks to vectors in the index.
//!
//! Three steps run beside each other, so that the model never waits for the database or the index: chunks are read a
//! window ahead and batched by length, two batches are with the model, and what it returned is written.
//!
//! A long document is no single throw: what was written is made durable every so many points, and a later try, in whatever
//! process, embeds what is missing.

use std::{collections::HashSet, time::Duration};

use futures::{SinkExt as _, Stream, StreamExt as _, TryFutureExt as _, channel::mpsc};
use vectrion_core::{
    Error, ErrorKind, Result,
    chunk::Chunk,
    document::{Document, Progress},
    ids::ChunkId,
    job::Lease,
    ports::{
        models::EmbedInput,
        vectors::{Point, VectorScope},
    },
};

use super::{Done, Stages, heartbeat::Hold, is_superseded};
use crate::faults::step;

/// Chunks that are read at once and batched by length.
const WINDOW: u32 = 256;
/// Batches with the model at once: one that it works on, and the next.
const IN_MODEL: usize = 2;
/// Points that are written at once, unless one batch has more.
const WRITE: usize = 64;
/// Points after which what was written is made durable: what the death of a process costs at the most.
const CHECKPOINT: usize = 1024;
/// Tries of one batch within a try of the job, so that a hiccup of the model does not cost what was embedded before.
const BATCH_TRIES: u32 = 3;
/// The longest wait for the model that a try of the job makes by itself.
const BATCH_WAIT_MAX: Duration = Duration::from_secs(15);

/// A text that every model can embed, and how often it is given one before it counts as away.
const PROBE: &str = "ready";
const PROBES: u32 = 3;

/// Why the steps beside each other ended.
enum Trouble {
    Model(Error),
    Other(Error),
}

impl Stages {
    pub(super) async fn embed(&self, lease: &Lease, hold: &Hold) -> Result<Done> {
        let Some(document) = self.ports.jobs.job_document(lease).await? else { return Ok(Done::Gone) };
        if is_superseded(&document) {
            return Ok(Done::Gone);
        }
        step!("embed::begun");
        if let Err(error) = self.check_stores().await {
            return Ok(Done::NotNow(error));
        }
        let total = document.chunk_count;
        if total == 0 {
            return Err(Error::precondition("NO_TEXT", "the document holds no text that could be indexed"));
        }
        let scope = self.ports.vector_scope(document.tenant);
        let held = self.held(&scope, &document).await?;
        let chunks_done = u32::try_from(held.len()).unwrap_or(u32::MAX);
        hold.progress(|progress| *progress = Progress { chunks_total: total, chunks_done, ..document.progress });

        let (batches_in, batches_out) = mpsc::channel(IN_MODEL);
        let (points_in, points_out) = mpsc::channel(IN_MODEL);
        let worked = tokio::try_join!(
            self.read(&document, &held, batches_in).map_err(Trouble::Other),
            self.embed_batches(&document, batches_out, points_in).map_err(Trouble::Model),
            self.write(&scope, points_out, hold).map_err(Trouble::Other),
        );
        match worked {
            Ok(_) => {}
            Err(Trouble::Model(error)) if self.model_is_away().await => return Ok(Done::NotNow(error)),
            Err(Trouble::Model(error) | Trouble::Other(error)) => return Err(error),
        }

        self.ports.vectors.flush(&scope).await?;
        step!("embed::flushed");
        let points = self.points(&scope, &document).await?;
        if points != u64::from(total) {
            return Err(Error::internal(
                "INDEX_COUNT_MISMATCH",
                format!("the vector index holds {points} points of the document's {total} chunks"),
            ));
        }
        Ok(Done::Embedded)
    }

    /// Whether the model fails whatever it is asked, so that it is not the document's text that it fails at. A model that is
    /// left alone after failures in a row, which that text may have caused, is asked when it can be again.
    async fn model_is_away(&self) -> bool {
        for _ in 1..PROBES {
            match self.ports.embedder.embed_query(PROBE).await {
                Ok(_) => return false,
                Err(error) => match error.retry_after().filter(|wait| *wait <= BATCH_WAIT_MAX) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return true,
                },
            }
        }
        self.ports.embedder.embed_query(PROBE).await.is_err()
    }

    async fn points(&self, scope: &VectorScope, document: &Document) -> Result<u64> {
        let counts = self.ports.vectors.count(scope, &[document.version_id]).await?;
        Ok(counts.first().copied().unwrap_or(0))
    }

    /// Chunks whose points an earlier try has written. A chunk's id stands for its text, and the scope for the model: its
    /// point would come out the same. If there are points of anything else, all make room.
    async fn held(&self, scope: &VectorScope, document: &Document) -> Result<HashSet<ChunkId>> {
        let points = self.points(scope, document).await?;
        if points == 0 {
            return Ok(HashSet::new());
        }
        let mut held = HashSet::new();
        let listed: HashSet<_> = self.ports.vectors.point_ids(scope, document.id).await?.into_iter().collect();
        let mut next = 0;
        while let Some(window) = self.window(document, next).await? {
            next = window.last().map_or(next, |last| last.ordinal) + 1;
            held.extend(window.iter().map(|chunk| chunk.id).filter(|id| listed.contains(id)));
        }
        if held.len() as u64 == points {
            tracing::info!(points, chunks = document.chunk_count, "going on where an earlier try ended");
            return Ok(held);
        }
        self.ports.vectors.delete_version(scope, document.version_id).await?;
        Ok(HashSet::new())
    }

    /// Chunks from this one on; none at the end.
    async fn window(&self, document: &Document, from: u32) -> Result<Option<Vec<Chunk>>> {
        if from >= document.chunk_count {
            return Ok(None);
        }
        let window = self.ports.catalog.chunks_from(document.tenant, document.version_id, from, WINDOW).await?;
        // Fewer chunks than the version says to have: the count at the end does not come out right.
        Ok(Some(window).filter(|window| !window.is_empty()))
    }

    /// Reads the chunks window by window and hands them on in batches of about equal length.
    async fn read(
        &self,
        document: &Document,
        held: &HashSet<ChunkId>,
        mut batches: mpsc::Sender<Vec<Chunk>>,
    ) -> Result<()> {
        let size = self.ports.embedder.batch_size().max(1);
        let mut next = 0;
        while let Some(mut window) = self.window(document, next).await? {
            next = window.last().map_or(next, |last| last.ordinal) + 1;
            window.retain(|chunk| !held.contains(&chunk.id));
            for batch in by_length(window, size) {
                if batches.send(batch).await.is_err() {
                    // The model's side has ended with an error, which is the one to report.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn embed_batches(
        &self,
        document: &Document,
        batches: impl Stream<Item = Vec<Chunk>>,
        mut points: mpsc::Sender<Vec<Point>>,
    ) -> Result<()> {
        let embedded = batches.map(|batch| self.embed_batch(document, batch)).buffered(IN_MODEL);
        let mut embedded = std::pin::pin!(embedded);
        while let Some(batch) = embedded.next().await {
            let batch = batch?;
            step!("embed::embedded");
            if points.send(batch).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn embed_batch(&self, document: &Document, batch: Vec<Chunk>) -> Result<Vec<Point>> {
        let inputs: Vec<EmbedInput> = batch
            .iter()
            .map(|chunk| EmbedInput { text: chunk.draft.text.clone(), token_ids: chunk.draft.token_ids.clone() })
            .collect();
        let mut tries = 1;
        let vectors = loop {
            match self.ports.embedder.embed(inputs.clone()).await {
                Ok(vectors) => break vectors,
                Err(error) => match wait_for_model(&error, tries) {
                    Some(wait) => {
                        tracing::info!(tries, reason = error.reason(), %error, wait_ms = wait.as_millis(), "the model failed; asking again");
                        tokio::time::sleep(wait).await;
                        tries += 1;
                    }
                    None => return Err(error),
                },
            }
        };
        if vectors.len() != batch.len() {
            return Err(Error::internal(
                "EMBEDDING_MISCOUNT",
                format!("the model returned {} vectors for {} passages", vectors.len(), batch.len()),
            ));
        }
        Ok(batch
            .into_iter()
            .zip(vectors)
            .map(|(chunk, dense)| Point {
                id: chunk.id,
                document: document.id,
                version_id: document.version_id,
                collection: document.collection,
                dense,
                text: chunk.draft.text,
            })
            .collect())
    }

    async fn write(
        &self,
        scope: &VectorScope,
        mut batches: impl Stream<Item = Vec<Point>> + Unpin,
        hold: &Hold,
    ) -> Result<()> {
        let mut waiting: Vec<Point> = Vec::with_capacity(WRITE);
        let mut since_checkpoint = 0;
        loop {
            let batch = batches.next().await;
            let ended = batch.is_none();
            waiting.extend(batch.into_iter().flatten());
            if waiting.len() >= WRITE || (ended && !waiting.is_empty()) {
                let points = std::mem::replace(&mut waiting, Vec::with_capacity(WRITE));
                let count = points.len();
                hold.check()?;
                self.ports.vectors.upsert(scope, points).await?;
                hold.progress(|progress| progress.chunks_done += u32::try_from(count).unwrap_or(u32::MAX));
                step!("embed::upserted");
                since_checkpoint += count;
                if since_checkpoint >= CHECKPOINT {
                    self.ports.vectors.flush(scope).await?;
                    since_checkpoint = 0;
                }
            }
            if ended {
                return Ok(());
            }
        }
    }
}

/// How long to wait before the model is asked again for the same batch; none: the error ends this try of the job.
fn wait_for_model(error: &Error, tries: u32) -> Option<Duration> {
    let worth_it =
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::ResourceExhausted)
            && error.reason() != "STORAGE_FULL";
    if !worth_it || tries >= BATCH_TRIES {
        return None;
    }
    let wait = error.retry_after().unwrap_or(Duration::from_millis(500) * tries);
    (wait <= BATCH_WAIT_MAX).then_some(wait)
}

/// Batches of passages of about equal length, longest first: what is embedded together is padded to the longest of them.
fn by_length(mut window: Vec<Chunk>, size: usize) -> Vec<Vec<Chunk>> {
    window.sort_by_key(|chunk| std::cmp::Reverse(chunk.draft.token_ids.len()));
    let mut batches = Vec::with_capacity(window.len().div_ceil(size));
    let mut rest = window.into_iter();
    loop {
        let batch: Vec<Chunk> = rest.by_ref().take(size).collect();
        if batch.is_empty() {
            return batches;
        }
        batches.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use vectrion_core::{
        chunk::ChunkDraft,
        ids::{ChunkId, DocumentId, VersionId},
    };

    use super::*;

    fn chunk(ordinal: u32, tokens: usize) -> Chunk {
        let version_id = VersionId::new();
        Chunk {
            id: ChunkId::derive(version_id, ordinal, b"", "c"),
            document: DocumentId::new(),
            version_id,
            version: 1,
            ordinal,
            draft: ChunkDraft {
                text: String::new(),
                char_start: 0,
                char_end: 0,
                page_start: 1,
                page_end: 1,
                boxes: vec![],
                heading_path: vec![],
                token_ids: vec![0; tokens],
            },
        }
    }

    #[test]
    fn batches_hold_passages_of_about_equal_length_and_lose_none() {
        let window = [3, 200, 5, 190, 4].iter().zip(0..).map(|(tokens, ordinal)| chunk(ordinal, *tokens)).collect();
        let batches = by_length(window, 2);
        let lengths: Vec<Vec<usize>> =
            batches.iter().map(|batch| batch.iter().map(|chunk| chunk.draft.token_ids.len()).collect()).collect();
        assert_eq!(lengths, [vec![200, 190], vec![5, 4], vec![3]]);
        assert!(by_length(vec![], 2).is_empty());
    }

    #[test]
    fn a_batch_is_tried_again_only_when_waiting_may_help() {
        let down = Error::unavailable("MODEL_UNAVAILABLE", "down");
        assert!(wait_for_model(&down, 1) < wait_for_model(&down, 2));
        assert_eq!(wait_for_model(&down, BATCH_TRIES), None);
        let limited = Error::new(ErrorKind::ResourceExhausted, "MODEL_RATE_LIMITED", "slow down");
        assert_eq!(wait_for_model(&limited.with_retry_after(Duration::from_secs(3)), 1), Some(Duration::from_secs(3)));
        let long = Error::new(ErrorKind::ResourceExhausted, "MODEL_RATE_LIMITED", "slow down");
        assert_eq!(wait_for_model(&long.with_retry_after(Duration::from_secs(60)), 1), None);
        assert_eq!(wait_for_model(&Error::precondition("MODEL_REFUSED", "no"), 1), None);
        assert_eq!(wait_for_model(&Error::internal("DEFECT", "no"), 1), None);
        assert_eq!(wait_for_model(&Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", "full"), 1), None);
    }
}
