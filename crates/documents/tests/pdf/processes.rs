//! Children that crash, hang, grow, are killed or left behind.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::NamedTempFile;
use vectrion_core::{Error, extraction::Extracted};
use vectrion_documents::pdf::{PdfExtractor, PdfSettings};
use vectrion_testkit::pdf::{Pdf, endless_document, stream};

use super::{file, settings};

/// Settings whose children can be told from those of other tests, by a memory limit of their own.
fn own_settings() -> PdfSettings {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut settings = settings();
    settings.memory_bytes -= 4096 * NEXT.fetch_add(1, Ordering::Relaxed);
    settings
}

/// Processes of this program that were started with this memory limit.
fn children(settings: &PdfSettings) -> BTreeSet<i32> {
    processes(std::process::id(), Some(settings.memory_bytes))
}

fn processes(parent: u32, memory: Option<u64>) -> BTreeSet<i32> {
    let pids = fs::read_dir("/proc").expect("a /proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
            let has = |name: &str, value: &str| words.windows(2).any(|pair| pair == [name, value]);
            words.first().is_some_and(|program| program.ends_with("vectrion-extract"))
                && has("--parent", &parent.to_string())
                && memory.is_none_or(|memory| has("--memory", &memory.to_string()))
        })
        .collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A document that takes a while.
fn long_document() -> NamedTempFile {
    let text = "A paragraph that is the same on every page, of no use but to be read again and again. ".repeat(20);
    file(&Pdf::of_paragraphs((0..400).map(|_| text.as_str())).build())
}

fn short_document() -> NamedTempFile {
    file(&Pdf::of_paragraphs(["A short document."]).build())
}

/// Reads a long document and sends its reader a signal once it has begun.
async fn read_and_signal(settings: &PdfSettings, extractor: &PdfExtractor, signal: Signal) -> Result<Extracted, Error> {
    let sent = Mutex::new(false);
    extractor
        .extract(long_document().path(), &|_, _| {
            let mut sent = sent.lock().expect("not poisoned");
            if !*sent {
                let children = children(settings);
                assert_eq!(children.len(), 1);
                children.into_iter().for_each(|pid| kill(Pid::from_raw(pid), signal).expect("it is there"));
                *sent = true;
            }
        })
        .await
}

async fn assert_recovers(extractor: &PdfExtractor) {
    let next = extractor.extract(short_document().path(), &|_, _| {}).await.expect("the next document is read");
    assert_eq!(next.text, "A short document.");
}

#[tokio::test]
async fn a_crash_costs_one_document() {
    let settings = own_settings();
    let extractor = PdfExtractor::new(settings.clone());
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGILL, Signal::SIGFPE] {
        let error = read_and_signal(&settings, &extractor, signal).await.map(|_| ());
        let error = error.expect_err(signal.as_str());
        assert_eq!(error.reason(), "EXTRACTION_CRASHED");
        assert!(!error.is_transient(), "a document that crashes its reader does so again: {error:?}");
        assert!(error.message().contains(signal.as_str()), "{error}");
        assert_recovers(&extractor).await;
    }
}

#[tokio::test]
async fn a_child_killed_from_outside_is_not_the_documents_fault() {
    let settings = own_settings();
    let extractor = PdfExtractor::new(settings.clone());
    let error =
        read_and_signal(&settings, &extractor, Signal::SIGKILL).await.map(|_| ()).expect_err("the reader was killed");
    assert_eq!(error.reason(), "EXTRACTION_CRASHED");
    assert!(error.is_transient());
    assert_recovers(&extractor).await;
}

#[tokio::test]
async fn a_child_that_dies_while_idle_is_replaced() {
    let settings = own_settings();
    let extractor = PdfExtractor::new(settings.clone());
    assert_recovers(&extractor).await;
    let idle = children(&settings);
    assert_eq!(idle.len(), 1);
    idle.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
    wait_until("the child is dead", || idle.iter().all(|pid| state(*pid).is_none_or(|state| state == 'Z')));
    assert_recovers(&extractor).await;
}

/// The state letter of /proc/…/stat.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn a_child_that_hangs_is_killed() {
    let mut settings = own_settings();
    settings.timeout = Duration::from_secs(1);
    let extractor = PdfExtractor::new(settings.clone());
    let start = Instant::now();
    let error =
        read_and_signal(&settings, &extractor, Signal::SIGSTOP).await.map(|_| ()).expect_err("the reader hangs");
    assert_eq!(error.reason(), "EXTRACTION_TIMEOUT");
    assert!(!error.is_transient());
    assert!(start.elapsed() < Duration::from_secs(10));
    wait_until("the child is gone", || children(&settings).is_empty());
    assert_recovers(&extractor).await;
}

#[tokio::test]
async fn a_document_made_to_take_for_ever_does_not() {
    let mut settings = own_settings();
    settings.timeout = Duration::from_secs(2);
    let extractor = PdfExtractor::new(settings.clone());
    let error = extractor.extract(file(&endless_document()).path(), &|_, _| {}).await.expect_err("no end");
    assert!(matches!(error.reason(), "EXTRACTION_TIMEOUT" | "EXTRACTION_LIMIT"), "{error:?}");
    assert!(!error.is_transient());
    assert_recovers(&extractor).await;
}

#[tokio::test]
async fn a_document_that_takes_too_much_memory_ends_its_child() {
    let mut settings = own_settings();
    settings.memory_bytes = 96 << 20;
    let extractor = PdfExtractor::new(settings);
    let content = format!("BT /F 1 Tf {} ET", "(abcdefghijklmnopqrstuvwxyz) Tj ".repeat(80_000));
    let bytes = Pdf::from_objects([
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
            .to_owned(),
        stream("", &content),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ]);
    let error = extractor.extract(file(&bytes).path(), &|_, _| {}).await.expect_err("too large");
    assert_eq!(error.reason(), "EXTRACTION_LIMIT", "{error:?}");
    assert!(error.message().contains("96 MiB"), "{error}");
    assert_recovers(&extractor).await;
}

#[tokio::test]
async fn a_reader_that_is_given_up_is_killed() {
    let settings = own_settings();
    let extractor = PdfExtractor::new(settings.clone());
    let document = long_document();
    let begun = tokio::sync::Notify::new();
    let progress = |_: u32, _: u32| begun.notify_one();
    tokio::select! {
        result = extractor.extract(document.path(), &progress) => panic!("not given up: {:?}", result.map(|_| ())),
        () = begun.notified() => {}
    }
    wait_until("the child is gone", || children(&settings).is_empty());
    assert_recovers(&extractor).await;
}

#[tokio::test]
async fn a_child_reads_one_document_after_another_and_then_makes_room() {
    let mut settings = own_settings();
    settings.documents_per_process = 2;
    let extractor = PdfExtractor::new(settings.clone());
    assert_recovers(&extractor).await;
    let first = children(&settings);
    assert_eq!(first.len(), 1);
    assert_recovers(&extractor).await;
    wait_until("it has read its two", || children(&settings).is_empty());
    assert_recovers(&extractor).await;
    assert!(children(&settings).is_disjoint(&first));
}

#[tokio::test]
async fn a_child_reports_pages_to_the_last() {
    let extractor = PdfExtractor::new(own_settings());
    let heard = Mutex::new(Vec::new());
    extractor
        .extract(long_document().path(), &|done, total| heard.lock().unwrap().push((done, total)))
        .await
        .expect("readable");
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.first(), Some(&(1, 400)));
    assert_eq!(heard.last(), Some(&(400, 400)));
    assert!(heard.is_sorted());
}

#[tokio::test]
async fn a_child_is_confined() {
    let settings = own_settings();
    let extractor = PdfExtractor::new(settings.clone());
    let _not_closed_on_exec = {
        let open = fs::File::open("/proc/self/cmdline").unwrap();
        nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        open
    };
    let confinement = extractor.check().await.expect("a child");
    let pid = *children(&settings).first().expect("a child");

    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit");
        line[26..].split_whitespace().next().expect("a value").to_owned()
    };
    assert_eq!(limit("Max address space"), settings.memory_bytes.to_string());
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "32");

    // Root may read the descriptors of a process whose credentials differ; others may not, and skip this.
    if let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) {
        let open: Vec<PathBuf> = open.flatten().flat_map(|entry| fs::read_link(entry.path())).collect();
        assert_eq!(open.len(), 3, "nothing but the socket, and /dev/null twice: {open:?}");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"));
    assert_eq!(status.contains("Seccomp:\t2"), confinement.system_calls);
    if let (Ok(own), Ok(other)) = (fs::read_link("/proc/self/ns/net"), fs::read_link(format!("/proc/{pid}/ns/net"))) {
        assert_eq!(own != other, confinement.network_namespace);
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut without_program = own_settings();
    without_program.program = Some(PathBuf::from("/nowhere/vectrion-extract"));
    let error = PdfExtractor::new(without_program).check().await.expect_err("no program");
    assert_eq!(error.reason(), "EXTRACTOR_UNAVAILABLE");
    assert!(error.is_transient());
    assert!(error.message().contains("/nowhere/vectrion-extract") && error.message().contains("make build"), "{error}");

    let mut without_library = own_settings();
    without_library.pdfium = PathBuf::from("/nowhere/libpdfium.so");
    let error = PdfExtractor::new(without_library).check().await.expect_err("no library");
    assert_eq!(error.reason(), "EXTRACTOR_UNAVAILABLE");
    assert!(error.message().contains("/nowhere/libpdfium.so") && error.message().contains("make assets"), "{error}");

    let mut another_program = own_settings();
    another_program.program = Some(PathBuf::from("/bin/true"));
    let error = PdfExtractor::new(another_program).check().await.expect_err("it says nothing");
    assert_eq!(error.reason(), "EXTRACTOR_UNAVAILABLE");
}

const ROLE: &str = "VECTRION_TEST_ROLE";

/// Not a test by itself: started by the next one as a process of its own.
#[tokio::test]
async fn parent_that_is_killed() {
    if std::env::var_os(ROLE).is_some() {
        let extractor = PdfExtractor::new(settings());
        extractor.check().await.expect("a child");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[test]
fn a_child_dies_with_its_parent() {
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::parent_that_is_killed"])
        .env(ROLE, "parent")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = parent.id();
    wait_until("the parent has a child", || !processes(pid, None).is_empty());
    let children = processes(pid, None);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the child is gone", || processes(pid, None).is_empty());
    assert_eq!(children.len(), 1);
}
