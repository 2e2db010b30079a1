use std::sync::Mutex;

use vectrion_testkit::{extracted::assert_extracted, tokenizer::WordPieces};

use super::*;

fn parser() -> FileParser {
    let mut settings = ParserSettings::new(Path::new("no-assets-needed"));
    settings.text.max_plain_bytes = 10_000;
    FileParser::new(settings, Arc::new(WordPieces::new(64))).expect("valid settings")
}

async fn parse(parser: &FileParser, name: &str, bytes: &[u8]) -> Result<(Extracted, Vec<(u32, u32)>)> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("object");
    std::fs::write(&path, bytes).expect("written");
    let seen = Mutex::new(Vec::new());
    let media_type = parser.sniff(bytes, name)?;
    let extracted =
        parser.parse(&path, &media_type, &|done, all| seen.lock().expect("alone").push((done, all))).await?;
    assert_extracted(&extracted);
    Ok((extracted, seen.into_inner().expect("alone")))
}

#[tokio::test]
async fn text_goes_from_file_to_chunks() {
    let parser = parser();
    let sentence = "The valve opens at four bar and closes at three. ".repeat(20);
    for (name, bytes) in [
        ("a.txt", format!("VALVES\n\n{sentence}")),
        ("a.md", format!("# VALVES\n\n{sentence}")),
        ("a.html", format!("<h1>VALVES</h1><p>{sentence}")),
    ] {
        let (extracted, progress) = parse(&parser, name, bytes.as_bytes()).await.expect("readable");
        assert_eq!(extracted.title.as_deref(), Some("VALVES"), "{name}");
        assert_eq!(progress, [(1, 1)]);
        let chunks = parser.chunk(Arc::new(extracted)).await.expect("chunked");
        assert!(chunks.len() > 3, "{name}");
        assert!(chunks[0].text.starts_with("VALVES\n\nThe valve"), "{name}: {:?}", chunks[0].text);
        assert!(chunks.iter().all(|chunk| chunk.heading_path == ["VALVES"] && chunk.page_start == 1));
    }
    assert_eq!(parser.chunker_version(), "structure-1/word-pieces/max=64/overlap=32");
}

#[tokio::test]
async fn failures_are_typed() {
    let parser = parser();
    let reason = |outcome: Result<(Extracted, Vec<(u32, u32)>)>| outcome.expect_err("refused").reason();
    assert_eq!(reason(parse(&parser, "a.txt", b"").await), "EMPTY_FILE");
    assert_eq!(reason(parse(&parser, "a.txt", b"\n \n").await), "NO_TEXT");
    assert_eq!(reason(parse(&parser, "a.png", b"\x89PNG\r\n\x1a\n").await), "UNSUPPORTED_TYPE");
    assert_eq!(reason(parse(&parser, "a.txt", &b"long ".repeat(5000)).await), "EXTRACTION_LIMIT");
    let gone = parser.parse(Path::new("no/such/file"), "text/plain", &|_, _| {}).await.expect_err("not there");
    assert_eq!(gone.reason(), "DOCUMENT_UNREADABLE");
    assert!(gone.is_transient());
    let unknown = parser.parse(Path::new("any"), "image/png", &|_, _| {}).await.expect_err("not supported");
    assert_eq!(unknown.reason(), "UNSUPPORTED_TYPE");
}
