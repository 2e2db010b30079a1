//! The project's sample documents, from file to chunks: what a newcomer asks about is in a chunk, on the right page.

use std::{path::Path, sync::Arc};

use vectrion_core::{chunk::ChunkDraft, extraction::Extracted, ports::DocumentParser};
use vectrion_documents::{FileParser, ParserSettings};
use vectrion_testkit::{assets_dir, extracted::assert_extracted, tokenizer::WordPieces};

async fn read(name: &str) -> (Extracted, Vec<ChunkDraft>) {
    let mut settings = ParserSettings::new(&assets_dir());
    settings.pdf.program = Some(env!("CARGO_BIN_EXE_vectrion-extract").into());
    let parser = FileParser::new(settings, Arc::new(WordPieces::new(254))).expect("valid settings");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/documents").join(name);
    let head = std::fs::read(&path).expect("the sample is there");
    let media_type = parser.sniff(&head[..head.len().min(4096)], name).expect("supported");
    let extracted = parser.parse(&path, &media_type, &|_, _| {}).await.expect("readable");
    assert_extracted(&extracted);
    assert_eq!(extracted.warnings, [], "{name}");
    let chunks = parser.chunk(Arc::new(extracted.clone())).await.expect("chunked");
    (extracted, chunks)
}

/// A chunk that holds all of these words, with the page of its first.
fn find<'c>(chunks: &'c [ChunkDraft], words: &[&str]) -> &'c ChunkDraft {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = chunks.iter().find(|chunk| words.iter().all(|word| flat(&chunk.text).contains(word)));
    found.unwrap_or_else(|| {
        panic!("{words:?} are in no chunk: {:#?}", chunks.iter().map(|c| &c.text).collect::<Vec<_>>())
    })
}

fn assert_on_page(chunk: &ChunkDraft, page: u32) {
    assert!((chunk.page_start..=chunk.page_end).contains(&page), "pages {} to {}", chunk.page_start, chunk.page_end);
    assert!(chunk.boxes.iter().any(|found| found.page == page), "no box on page {page}");
}

#[tokio::test]
async fn the_handbook_answers_its_questions() {
    let (extracted, chunks) = read("employee-handbook.pdf").await;
    assert_eq!(extracted.title.as_deref(), Some("Employee Handbook"));
    assert_eq!(extracted.pages.len(), 4);
    let leave = find(&chunks, &["29 days of annual leave", "31 days"]);
    assert_on_page(leave, 2);
    assert!(leave.heading_path.iter().any(|heading| heading.contains("Leave")), "{:?}", leave.heading_path);
    assert_on_page(find(&chunks, &["expire on 31 March"]), 2);
    assert_on_page(find(&chunks, &["Hotel in a capital city", "185 euros"]), 3);
    assert_on_page(find(&chunks, &["Tomasz Wieczorek", "4112"]), 3);
    assert_on_page(find(&chunks, &["notice period is two weeks"]), 4);
    let furniture = chunks.iter().filter(|chunk| chunk.text.contains("Page 2 of 4")).count();
    assert_eq!(furniture, 0, "the foot of a page is no text");
}

#[tokio::test]
async fn the_manual_is_read_column_by_column() {
    let (_, chunks) = read("aquila-40-manual.pdf").await;
    assert_on_page(find(&chunks, &["The bearings are lubricated by the water."]), 1);
    assert_on_page(find(&chunks, &["Tighten the union nuts to 60 newton metres, holding against the housing"]), 1);
    assert_on_page(find(&chunks, &["E4", "dry running", "fill and vent"]), 2);
    assert_on_page(find(&chunks, &["Head with rotor", "AQ4-1107", "189.00 €"]), 3);
    let (data, safety) = (
        chunks.iter().position(|chunk| chunk.text.contains("Largest flow")),
        chunks.iter().position(|chunk| chunk.text.contains("strong magnets")),
    );
    assert!(safety <= data, "the left column comes first");
}

#[tokio::test]
async fn the_review_keeps_its_figures() {
    let (_, chunks) = read("annual-review-2025.pdf").await;
    assert_on_page(find(&chunks, &["96.4 million euros"]), 1);
    assert_on_page(find(&chunks, &["Operating profit", "8.1", "Net debt"]), 1);
    assert_on_page(find(&chunks, &["3.2 million euros, of which the insurance paid 2.7 million"]), 2);
    assert_on_page(find(&chunks, &["first quarter of 2027"]), 3);
}

#[tokio::test]
async fn the_german_report_keeps_its_umlauts() {
    let (extracted, chunks) = read("wartungsbericht-lindental.pdf").await;
    assert_eq!(extracted.title.as_deref(), Some("Wartungsbericht Heizzentrale Lindental"));
    assert_on_page(find(&chunks, &["Jürgen Höfelschweiger", "Mia Großmann"]), 1);
    assert_on_page(find(&chunks, &["E1 (Läufer blockiert)", "dicke Schicht aus Magnetit"]), 2);
    assert_on_page(find(&chunks, &["13. März 2027", "Herrn Yusuf Özdemir"]), 3);
}

#[tokio::test]
async fn markdown_and_html_are_read() {
    let (extracted, chunks) = read("corvus-3-release-notes.md").await;
    assert_eq!(extracted.title.as_deref(), Some("Corvus 3 release notes"));
    let advisory = find(&chunks, &["could read the settings without a password", "AWS-2025-004"]);
    assert!(advisory.heading_path.starts_with(&["Corvus 3 release notes".to_owned()]), "{:?}", advisory.heading_path);
    find(&chunks, &["over the network", "4 minutes"]);
    let (extracted, chunks) = read("garantie-und-ruecksendung.html").await;
    assert_eq!(extracted.title.as_deref(), Some("Garantie und Rücksendung – Aldermoor Wassertechnik"));
    find(&chunks, &["Regler Corvus 3 | 60 Monate | Kaufdatum"]);
    assert!(!extracted.text.contains("Kundendienst"), "navigation is no text");
}
