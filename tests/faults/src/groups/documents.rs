//! Documents that come in the wrong order, are poisonous, or are as large as can be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vectrion::v1::DocumentState;
use vectrion_testkit::{
    openai::Reply,
    pdf::{Page, Pdf},
    services::descendants,
};

use crate::{
    environment::process::resident,
    load::{Entry, Expected, documents::Made, documents::long_text},
    scene::{SOON, Scene, Told},
};

const LOOK: Duration = Duration::from_millis(50);
/// The program that reads PDF files, as the system names it.
const READER: &str = "vectrion-extrac";
/// A document that asks for a password; another program encrypted it.
const PASSWORD: &[u8] = include_bytes!("../../../../crates/documents/tests/pdf/password.pdf");
/// Resident memory of a reader of PDF files, and of a worker without a model.
const MAX_RESIDENT: u64 = 512 << 20;

pub async fn versions(scene: &mut Scene) -> Result<Told> {
    let first = scene.load.make(0);
    let word = first.marker.clone();
    scene.installation.model.answer_embeddings(move |request| {
        if request.body.to_string().contains(&word) { Reply::error(503, "overloaded") } else { Reply::embeddings() }
    });
    scene.load.upload(0, &first, Expected::Indexed, SOON).await?;
    asked(scene, &first.marker).await?;
    let second = scene.load.make_again(0, &first.external_id);
    scene.load.upload(0, &second, Expected::Indexed, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    scene.installation.model.answer_embeddings(|_| Reply::embeddings());

    // The other way round: deleted while the model works on it.
    let doomed = scene.load.make(1);
    let word = doomed.marker.clone();
    scene.installation.model.answer_embeddings(move |request| {
        let wait = if request.body.to_string().contains(&word) { 2000 } else { 0 };
        Reply::embeddings().after(Duration::from_millis(wait))
    });
    let entry = scene.load.upload(1, &doomed, Expected::Indexed, SOON).await?;
    asked(scene, &doomed.marker).await?;
    scene.load.delete(&entry, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    // Long enough for what was under way to come back, if it could.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for server in 0..2 {
        for (tenant, word, what) in [(0, &first.marker, "version 1"), (1, &doomed.marker, "a deleted document")] {
            let found = scene.load.search(server, tenant, word).await?;
            let is_back = found.iter().any(|passage| passage.text.contains(word.as_str()));
            ensure!(!is_back, "I3: {what} came back");
        }
    }
    Ok(Told::new(
        "version 2 uploaded and indexed while the model failed for version 1; a document deleted while it is embedded",
        "the higher version won, version 1 was let go; what was deleted did not come back",
    ))
}

/// Waits until the model was asked for a document.
async fn asked(scene: &Scene, word: &str) -> Result<()> {
    let is_asked = |requests: &[vectrion_testkit::openai::Request]| {
        requests.iter().any(|request| request.body.to_string().contains(word))
    };
    ensure!(scene.installation.model.wait_until(SOON, is_asked).await, "the model was not asked for {word}");
    Ok(())
}

fn named(scene: &Scene, tenant: usize, ending: &str, bytes: Vec<u8>) -> Made {
    let made = scene.load.make(tenant);
    Made { filename: format!("{}.{ending}", made.marker), bytes, ..made }
}

pub async fn poison_pdfs(scene: &mut Scene) -> Result<Told> {
    let workers: Vec<Option<i32>> = scene.installation.workers.iter().map(|worker| worker.pid()).collect();
    let whole = long_pdf(scene, 0, 20).bytes;
    let mut entries = Vec::new();
    let poison: [(Vec<u8>, &'static [&'static str]); 5] = [
        (b"%PDF-1.7\nand then nothing of the kind".to_vec(), &["PDF_MALFORMED"]),
        (Pdf::new().build(), &["PDF_NO_PAGES"]),
        (Pdf::new().page(Page::a4()).build(), &["PDF_NO_TEXT"]),
        (PASSWORD.to_vec(), &["PDF_PASSWORD_REQUIRED"]),
        (whole[..whole.len() / 20].to_vec(), &[]),
    ];
    for (bytes, reasons) in poison {
        let made = named(scene, 0, "pdf", bytes);
        entries.push(scene.load.upload(0, &made, Expected::Failed(reasons), SOON).await?);
    }
    scene.load.upload_many(6, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;

    // One that crashes its reader: the signal comes from here, in the middle of its pages.
    let entry =
        scene.load.upload(1, &long_pdf(scene, 1, 3000), Expected::Failed(&["EXTRACTION_CRASHED"]), SOON).await?;
    signal_reader(scene, &entry, Signal::SIGABRT).await?;
    entries.push(entry);
    scene.load.upload_many(6, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;

    let mut reasons = Vec::new();
    for entry in &entries {
        let failure = scene.load.get(entry).await?.failure.context("a failure")?;
        ensure!(
            failure.attempts == 1,
            "{} was tried {} times: {}",
            entry.external_id,
            failure.attempts,
            failure.reason
        );
        reasons.push(failure.reason);
    }
    let now: Vec<Option<i32>> = scene.installation.workers.iter().map(|worker| worker.pid()).collect();
    ensure!(now == workers && scene.installation.workers.iter_mut().all(|worker| worker.is_running()), "a worker died");
    Ok(Told::new(
        "five PDF files that cannot be read, and one whose reader is ended by SIGABRT in the middle of its pages",
        format!("each failed in one try ({}); the workers live, good documents are indexed", reasons.join(", ")),
    ))
}

/// A document of so many pages, with its word on each.
fn long_pdf(scene: &Scene, tenant: usize, pages: usize) -> Made {
    let made = scene.load.make(tenant);
    let sentence = format!("This page on {} is as all others are, of no use but to be read again. ", made.marker);
    let text = sentence.repeat(20);
    let bytes = Pdf::of_paragraphs((0..pages).map(|_| text.as_str())).build();
    Made { filename: format!("{}.pdf", made.marker), bytes, ..made }
}

/// Sends a signal to the process that reads a document once it has read a page.
async fn signal_reader(scene: &Scene, entry: &Entry, signal: Signal) -> Result<()> {
    let start = Instant::now();
    loop {
        let document = scene.load.get(entry).await?;
        if document.progress.is_some_and(|progress| progress.pages_done > 0) {
            break;
        }
        if document.state() == DocumentState::Failed || start.elapsed() > SOON {
            bail!("no page of {} was read: {:?}", entry.external_id, document.failure);
        }
        tokio::time::sleep(LOOK).await;
    }
    let pids = scene.installation.workers.iter().filter_map(|worker| worker.pid());
    let readers: Vec<i32> = pids.flat_map(descendants).filter(|pid| is_reader(*pid)).collect();
    // Nothing else is read just now: the one that computes is the one that reads this document.
    let before: Vec<u64> = readers.iter().map(|pid| computed(*pid)).collect();
    tokio::time::sleep(LOOK * 4).await;
    let busiest = readers.iter().zip(before).max_by_key(|(pid, before)| computed(**pid).saturating_sub(*before));
    let (reader, _) = busiest.context("no process reads PDF files")?;
    Ok(kill(Pid::from_raw(*reader), signal)?)
}

/// Ticks of processor time that a process has used.
fn computed(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(2)).into_iter().flatten();
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn is_reader(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == READER)
}

pub async fn poison_ahead(scene: &mut Scene) -> Result<Told> {
    let before = fifty(scene).await?;
    // One that takes the model long, one for which it always fails, and one whose reader hangs.
    let (slow, failing) = (scene.load.make(0), scene.load.make(0));
    let (slow_word, failing_word) = (slow.marker.clone(), failing.marker.clone());
    scene.installation.model.answer_embeddings(move |request| {
        let text = request.body.to_string();
        if text.contains(&slow_word) {
            Reply::embeddings().after(Duration::from_secs(8))
        } else if text.contains(&failing_word) {
            Reply::error(503, "overloaded")
        } else {
            Reply::embeddings()
        }
    });
    let hanging = scene.load.upload(0, &long_pdf(scene, 0, 1500), Expected::Settled, SOON).await?;
    signal_reader(scene, &hanging, Signal::SIGSTOP).await?;
    scene.load.upload(0, &slow, Expected::Indexed, SOON).await?;
    scene.load.upload(0, &failing, Expected::Settled, SOON).await?;
    let start = Instant::now();
    let behind = fifty(scene).await?;
    scene.installation.model.answer_embeddings(|_| Reply::embeddings());
    scene.load.settle(Duration::from_secs(90)).await?;
    let settled = start.elapsed();
    // Beside others on the machine, the one may have been quicker than the machine is.
    let alone = before.max(fifty(scene).await?);
    let (with, without) = (behind.as_secs_f64(), alone.as_secs_f64());
    ensure!(with <= 2.0 * without, "50 documents took {with:.1} s behind poison, {without:.1} s without");
    let end = scene.load.get(&hanging).await?.failure.map_or_else(|| "indexed".to_owned(), |failure| failure.reason);
    Ok(Told::new(
        "a PDF whose reader hangs, a document that takes the model 8 s and one for which it always fails, ahead of 50 good \
         ones",
        format!(
            "50 documents in {with:.1} s behind them, {without:.1} s without ({:.2}x); the one whose reader hung ended as \
             {end}, all after {:.1} s",
            with / without,
            settled.as_secs_f64()
        ),
    ))
}

/// Uploads 50 documents, and tells how long it takes until they are indexed.
async fn fifty(scene: &Scene) -> Result<Duration> {
    let start = Instant::now();
    let entries = scene.load.upload_many(50, SOON).await?;
    let mut open: Vec<&Entry> = entries.iter().collect();
    while !open.is_empty() {
        ensure!(start.elapsed() < Duration::from_secs(120), "50 documents are not indexed after 120 s");
        let mut left = Vec::new();
        for tenant in 0..scene.load.tenants.len() {
            let list = scene.load.list(tenant).await?;
            let is_open = |entry: &&&Entry| {
                list.get(&entry.document_id).is_none_or(|found| found.state() != DocumentState::Indexed)
            };
            left.extend(open.iter().filter(|entry| entry.tenant == tenant).filter(is_open).copied());
        }
        open = left;
        tokio::time::sleep(LOOK).await;
    }
    Ok(start.elapsed())
}

/// Bytes of the largest document that is allowed here, and documents at once.
const LARGEST: usize = 1 << 20;
const LARGEST_FULL: usize = 8 << 20;
const AT_ONCE: usize = 4;

pub async fn largest(scene: &mut Scene) -> Result<Told> {
    let largest = if scene.extent.full { LARGEST_FULL } else { LARGEST };
    for process in scene.installation.processes() {
        process.settings.push(format!("ingest.max_document_bytes={largest}"));
        process.terminate(SOON).await?;
    }
    scene.installation.start_missing().await?;
    let pids: Vec<i32> = scene.installation.workers.iter().filter_map(|worker| worker.pid()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let sampling = tokio::task::spawn_blocking({
        let (stop, pids) = (Arc::clone(&stop), pids.clone());
        move || sample(&pids, &stop)
    });
    for n in 0..AT_ONCE {
        let mut made = long_text(n % 3, 950_000 + n, largest / 400);
        made.bytes.resize(largest, b' ');
        scene.load.upload(n % 3, &made, Expected::Indexed, SOON).await?;
    }
    let pdf = long_pdf(scene, 0, largest / 6500);
    ensure!(pdf.bytes.len() <= largest, "{} bytes of PDF", pdf.bytes.len());
    scene.load.upload(0, &pdf, Expected::Indexed, SOON).await?;
    let mut over = named(scene, 0, "txt", vec![b'x'; largest]);
    over.bytes.push(b'x');
    let refused = scene.load.try_upload(0, 0, &over).await;
    let code = refused.as_ref().err().map(tonic::Status::code);
    ensure!(code == Some(tonic::Code::ResourceExhausted), "one byte more is refused, not {refused:?}");
    scene.load.settle(Duration::from_secs(200)).await?;
    stop.store(true, Ordering::SeqCst);
    let (worker, child) = sampling.await?;
    ensure!(child <= MAX_RESIDENT, "I6: a reader of PDF files had {} MiB", child >> 20);
    ensure!(worker <= MAX_RESIDENT, "I6: a worker had {} MiB", worker >> 20);
    Ok(Told::new(
        format!(
            "{AT_ONCE} texts of {} KiB, the largest allowed by the setting here, and a PDF of {} KiB at once; one byte \
             more is refused",
            largest >> 10,
            pdf.bytes.len() >> 10
        ),
        format!("at the most {} MiB resident in a worker, {} MiB in a reader of PDF files", worker >> 20, child >> 20),
    ))
}

/// The most that a worker, and a reader of PDF files, had.
fn sample(workers: &[i32], stop: &AtomicBool) -> (u64, u64) {
    let (mut worker, mut child) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        for pid in workers {
            worker = worker.max(resident(*pid));
            child = descendants(*pid).into_iter().filter(|pid| is_reader(*pid)).map(resident).fold(child, u64::max);
        }
        std::thread::sleep(LOOK);
    }
    (worker, child)
}
