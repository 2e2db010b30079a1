//! Speed of reading PDF files against pdfium called bare: `cargo run --release -p vectrion-documents --example extract_bench
//! -- FOLDER [REPEATS]`. Build the child first: `cargo build --release -p vectrion-documents --bins`.
//!
//! Bare is what any program does that wants the text: load the document, each page and its text page, and copy the text out,
//! in one process that does nothing else. Ours is all that `PdfExtractor` does, children, layout and transfer included; its
//! processor time is that of the child and of this process together. Pages per core-second are compared, each the best of
//! the repeats, taken in turns. The last line is JSON.

use std::{
    ffi::c_int,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use pdfium_render::prelude::Pdfium;
use vectrion_documents::pdf::{PdfExtractor, PdfSettings};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == "--bare" {
        let library = PathBuf::from(arguments.next().unwrap_or_default());
        let (pages, time) = bare(&library, &files(Path::new(&arguments.next().unwrap_or_default())));
        println!("{pages} {}", time.as_micros());
        return;
    }
    let folder = PathBuf::from(first);
    let repeats = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5);
    let assets = std::env::var_os("VECTRION_ASSETS_DIR").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/vectrion/assets"),
        PathBuf::from,
    );
    let files = files(&folder);
    assert!(!files.is_empty(), "no PDF files in {}", folder.display());
    let mut text_only = PdfSettings::new(&assets);
    text_only.program = Some(child());
    text_only.find_hidden_text = false;
    let whole = PdfSettings { find_hidden_text: true, ..text_only.clone() };

    let mut best = [0.0_f64; 3];
    let mut wall = [0.0_f64; 3];
    let mut pages = 0;
    for _ in 0..repeats {
        let (bare_pages, bare) = bare_in_a_process(&text_only.pdfium, &folder);
        pages = bare_pages;
        best[0] = best[0].max(f64::from(pages) / bare.as_secs_f64());
        for (n, settings) in [(1, &text_only), (2, &whole)] {
            let (read, cpu, _) = ours(&files, settings, 1);
            assert!(read >= pages, "{read} of {pages} pages");
            best[n] = best[n].max(f64::from(pages) / cpu.as_secs_f64());
        }
        for (n, processes) in [(1, 1), (2, 2)] {
            let (_, _, time) = ours(&files, &text_only, processes);
            wall[n] = wall[n].max(f64::from(pages) / time.as_secs_f64());
        }
        let (_, _, time) = ours(&files, &whole, 2);
        wall[0] = wall[0].max(f64::from(pages) / time.as_secs_f64());
    }
    println!("files {}, pages {pages}, best of {repeats}", files.len());
    println!("pdfium bare                     {:8.0} pages per core-second", best[0]);
    println!("ours                            {:8.0} pages per core-second, {:.3} of bare", best[1], best[1] / best[0]);
    println!("ours, with search for hidden    {:8.0} pages per core-second, {:.3} of bare", best[2], best[2] / best[0]);
    println!("ours, one process               {:8.0} pages a second", wall[1]);
    println!("ours, two processes             {:8.0} pages a second, {:.2} times one", wall[2], wall[2] / wall[1]);
    println!("ours, two, with search          {:8.0} pages a second", wall[0]);
    println!(
        "{{\"files\": {}, \"pages\": {pages}, \"bare_pages_per_core_s\": {}, \"pages_per_core_s\": {}, \
         \"pages_per_core_s_with_hidden_text\": {}, \"pages_per_s_one_process\": {}, \
         \"pages_per_s_two_processes\": {}, \"pages_per_s_two_with_hidden_text\": {}}}",
        files.len(),
        best[0],
        best[1],
        best[2],
        wall[1],
        wall[2],
        wall[0]
    );
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "pdf")).collect();
    files.sort();
    files
}

/// `vectrion-extract` of this build: examples are built one directory below it.
fn child() -> PathBuf {
    let own = std::env::current_exe().expect("the running program has a path");
    let directory = own.ancestors().nth(2).expect("examples are in a directory of the target directory");
    directory.join("vectrion-extract")
}

/// Processor time of this process and of the children that have ended.
fn cpu_time() -> Duration {
    let micros = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).expect("usage can be asked for");
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    });
    Duration::from_micros(u64::try_from(micros.iter().sum::<i64>()).unwrap_or(0))
}

/// Pages read, processor time and wall time.
fn ours(files: &[PathBuf], settings: &PdfSettings, processes: usize) -> (u32, Duration, Duration) {
    let settings =
        PdfSettings { processes: NonZeroUsize::new(processes).unwrap_or(NonZeroUsize::MIN), ..settings.clone() };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let before = cpu_time();
    let (pages, wall) = runtime.block_on(async {
        let extractor = std::sync::Arc::new(PdfExtractor::new(settings));
        extractor.check().await.expect("a child can be started");
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        // The largest first, so that no core waits for the last.
        let mut files = files.to_vec();
        files.sort_by_key(|file| std::cmp::Reverse(file.metadata().map_or(0, |facts| facts.len())));
        for file in files {
            let extractor = extractor.clone();
            tasks.spawn(async move {
                match extractor.extract(&file, &|_, _| {}).await {
                    Ok(extracted) => u32::try_from(extracted.pages.len()).unwrap_or(0),
                    Err(_) => 0,
                }
            });
        }
        let mut pages = 0;
        while let Some(read) = tasks.join_next().await {
            pages += read.unwrap_or(0);
        }
        let wall = start.elapsed();
        extractor.close().await;
        (pages, wall)
    });
    drop(runtime);
    (pages, cpu_time() - before, wall)
}

/// Pages read and processor time of a process that calls pdfium bare.
fn bare_in_a_process(library: &Path, folder: &Path) -> (u32, Duration) {
    let own = std::env::current_exe().expect("the running program has a path");
    let output = Command::new(own).arg("--bare").arg(library).arg(folder).output().expect("it can be run again");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
    let pages = u32::try_from(numbers.next().unwrap_or(0)).unwrap_or(0);
    (pages, Duration::from_micros(numbers.next().unwrap_or(1)))
}

fn bare(library: &Path, files: &[PathBuf]) -> (u32, Duration) {
    let before = cpu_time();
    let api = Pdfium::bind_to_library(library).expect("pdfium can be loaded");
    let mut pages = 0;
    let mut text: Vec<u16> = Vec::new();
    // SAFETY: the calls follow the order that the library asks for, on one thread, with handles that are open; the buffer
    // has room for the characters and a terminator.
    unsafe {
        api.FPDF_InitLibrary();
        for file in files {
            let document = api.FPDF_LoadDocument(&file.to_string_lossy(), None);
            if document.is_null() {
                continue;
            }
            for index in 0..api.FPDF_GetPageCount(document) {
                let page = api.FPDF_LoadPage(document, index);
                if page.is_null() {
                    continue;
                }
                let text_page = api.FPDFText_LoadPage(page);
                if !text_page.is_null() {
                    let count: c_int = api.FPDFText_CountChars(text_page).max(0);
                    text.resize(usize::try_from(count).unwrap_or(0) + 1, 0);
                    api.FPDFText_GetText(text_page, 0, count, text.as_mut_ptr());
                    api.FPDFText_ClosePage(text_page);
                    pages += 1;
                }
                api.FPDF_ClosePage(page);
            }
            api.FPDF_CloseDocument(document);
        }
    }
    (pages, cpu_time() - before)
}
