//! `vectrion ingest`: uploads files and folders, and waits for them.

mod files;
mod upload;
mod wait;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use vectrion::client::Client;
use vectrion::v1::{Document, DocumentState};

use super::{documents::describe, values};
use crate::{
    args::IngestArgs,
    failure::Failure,
    output::{self, Output, counted},
};

pub(crate) async fn run(client: &Client, output: &Output, args: IngestArgs) -> Result<(), Failure> {
    let metadata = values::metadata(&args.metadata)?;
    let found = files::find(&args.paths)?;
    if found.skipped > 0 {
        output::note(&format!(
            "passed over {} (hidden, or of a type that is not supported)",
            counted(found.skipped, "file")
        ));
    }
    if found.files.is_empty() {
        return Err(Failure::Usage("there is nothing to upload; supported are PDF, text, Markdown and HTML".into()));
    }

    let bars = Bars::new(found.files.len() as u64, args.wait);
    let settings = upload::Settings {
        collection: args.collection,
        metadata,
        allow_duplicate: args.allow_duplicate,
        retry_for: Duration::from_secs(args.retry_for),
    };
    let settings = &settings;
    let mut printer = Printer::new(output, found.files.len());
    let mut waiting = wait::Waiting::default();
    let mut uploads = stream::iter(found.files.into_iter().enumerate())
        .map(|(position, file)| async move { (position, upload::upload(client, settings, &file).await) })
        .buffer_unordered(usize::from(args.parallel));
    while let Some((position, uploaded)) = uploads.next().await {
        bars.uploaded();
        let document = uploaded?;
        if args.wait && !is_final(&document) {
            waiting.add(position, document);
        } else {
            bars.ended();
            printer.done(position, document)?;
        }
    }
    drop(uploads);
    if !waiting.is_empty() {
        wait::wait(client, waiting, &bars, |position, document| printer.done(position, document)).await?;
    }
    bars.clear();
    printer.finish(args.wait)
}

/// Whether nothing more happens to a document by itself; one that was refused has no id.
fn is_final(document: &Document) -> bool {
    matches!(document.state(), DocumentState::Indexed | DocumentState::Failed)
}

/// Prints one document per file, in the order of the files.
struct Printer<'a> {
    output: &'a Output,
    early: BTreeMap<usize, Document>,
    next: usize,
    total: usize,
    failed: VecDeque<Document>,
}

impl<'a> Printer<'a> {
    fn new(output: &'a Output, total: usize) -> Self {
        Self { output, early: BTreeMap::new(), next: 0, total, failed: VecDeque::new() }
    }

    fn done(&mut self, position: usize, document: Document) -> Result<(), Failure> {
        self.early.insert(position, document);
        while let Some(document) = self.early.remove(&self.next) {
            self.next += 1;
            self.output.message("Document", &document, describe)?;
            if document.state() == DocumentState::Failed {
                self.failed.push_back(document);
            }
        }
        Ok(())
    }

    fn finish(self, waited: bool) -> Result<(), Failure> {
        let failed = self.failed.len();
        if !self.output.is_json() {
            let verb = if waited { "indexed" } else { "uploaded" };
            output::note(&format!("{} {verb}, {failed} failed", counted(self.total - failed, "document")));
        }
        if failed > 0 { Err(Failure::Partly) } else { Ok(()) }
    }
}

/// What a person sees meanwhile: bars on a terminal, a line now and then in a pipe.
struct Bars {
    upload: ProgressBar,
    index: ProgressBar,
}

impl Bars {
    fn new(total: u64, wait: bool) -> Self {
        if !output::progress_is_seen() {
            return Self { upload: ProgressBar::hidden(), index: ProgressBar::hidden() };
        }
        let bars = indicatif::MultiProgress::new();
        let style = |name: &str| {
            ProgressStyle::with_template(&format!("{name:>9} {{bar:30}} {{pos}}/{{len}} {{msg}}"))
                .unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let upload = bars.add(ProgressBar::new(total).with_style(style("uploaded")));
        let index =
            if wait { bars.add(ProgressBar::new(total).with_style(style("indexed"))) } else { ProgressBar::hidden() };
        upload.tick();
        Self { upload, index }
    }

    fn uploaded(&self) {
        self.upload.inc(1);
    }

    fn ended(&self) {
        self.index.inc(1);
    }

    fn working_on(&self, document: &Document) {
        let progress = document.progress.unwrap_or_default();
        let what = match document.state() {
            DocumentState::Processing if progress.pages_total > 0 => {
                format!("{}: page {}/{}", document.filename, progress.pages_done, progress.pages_total)
            }
            DocumentState::Embedding if progress.chunks_total > 0 => {
                format!("{}: chunk {}/{}", document.filename, progress.chunks_done, progress.chunks_total)
            }
            _ => document.filename.clone(),
        };
        self.index.set_message(what);
    }

    fn clear(&self) {
        self.upload.finish_and_clear();
        self.index.finish_and_clear();
    }
}
