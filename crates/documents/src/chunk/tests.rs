//! The chunker's promises, on random documents with structure and on hand-made ones.

use vectrion_core::{
    extraction::{Block, BlockKind, ExtractedPage, Line, Rect},
    ports::models::Tokens,
};
use vectrion_testkit::{extracted::assert_extracted, tokenizer::WordPieces};

use super::*;

/// Repeatable numbers (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const WORDS: &[&str] = &[
    "pump",
    "The",
    "maintenance",
    "is",
    "Wärmetauscherüberwachung",
    "3.5",
    "kPa",
    "(see",
    "table)",
    "e.g.",
    "Dr.",
    "été",
    "насос",
    "обслуживание",
    "ポンプ",
    "の保守は六か月ごとに行う",
    "東京都",
    "مضخة",
    "पंप",
    "https://example.org/a/b?c=d&e=f",
    "well-known",
    "don't",
    "naïve",
    "x",
    "🔧",
    "a\u{301}e\u{308}",
    "internationalisation",
    "—",
    "\u{fffd}",
    "100%",
    "ﬁnal",
];

/// A document of random blocks, with lines, pages and boxes.
fn random_document(seeded: &mut Seeded) -> Extracted {
    let mut extracted = Extracted::default();
    let blocks = 1 + seeded.below(30);
    for _ in 0..blocks {
        let kind = match seeded.below(12) {
            0 | 1 => BlockKind::Heading(1 + seeded.below(4) as u8),
            2 => BlockKind::Table,
            3 => BlockKind::Code,
            4 => BlockKind::Quote,
            5 | 6 => BlockKind::ListItem,
            _ => BlockKind::Paragraph,
        };
        if !extracted.text.is_empty() {
            extracted.text.push_str(seeded.pick(&["\n", "\n\n"]));
        }
        if extracted.pages.is_empty() || seeded.below(5) == 0 {
            let (number, at) = (extracted.pages.len() as u32 + 1, extracted.text.len());
            let page = ExtractedPage { number, width: 600.0, height: 800.0, rotation: 0, range: at..at };
            extracted.pages.push(page);
        }
        let start = extracted.text.len();
        let mut lines = Vec::new();
        let line_count = 1 + seeded.below(6);
        for index in 0..line_count {
            if index > 0 {
                extracted.text.push_str(if kind == BlockKind::Table || seeded.below(4) == 0 { "\n" } else { " " });
            }
            let line_start = extracted.text.len();
            extracted.text.push_str(&random_line(seeded));
            let y0 = 60.0 + 12.0 * index as f32;
            let bounds = Some(Rect { x0: 50.0, y0, x1: 550.0, y1: y0 + 10.0 });
            lines.push(Line { range: line_start..extracted.text.len(), page: extracted.pages.len() as u32, bounds });
        }
        let end = extracted.text.len();
        extracted.blocks.push(Block { kind, range: start..end, lines });
        extracted.pages.last_mut().expect("pushed").range.end = end;
    }
    assert_extracted(&extracted);
    extracted
}

fn random_line(seeded: &mut Seeded) -> String {
    match seeded.below(40) {
        // Words and runs that no tokenizer likes.
        0 => "x".repeat(1 + seeded.below(3000)),
        1 => "ab1".repeat(1 + seeded.below(60)),
        2 => ".".repeat(1 + seeded.below(400)),
        3 => "東".repeat(1 + seeded.below(300)),
        7 => "a[SEP]b.c".repeat(1 + seeded.below(60)),
        4 => "จะต้องตรวจสอบทุกหกเดือน".repeat(1 + seeded.below(20)),
        5 => format!("a{}b", " ".repeat(seeded.below(20_000))),
        6 => format!("a{}", "\u{301}".repeat(seeded.below(5000))),
        _ => {
            let mut line = String::new();
            for index in 0..1 + seeded.below(25) {
                if index > 0 {
                    line.push_str(seeded.pick(&[" ", " ", " ", " ", ". ", ", ", "  ", "! ", "。", "\t"]));
                }
                line.push_str(seeded.pick(WORDS));
            }
            line
        }
    }
}

fn chunker(max_tokens: usize, overlap_tokens: usize) -> Chunker {
    let settings = ChunkSettings { max_tokens, overlap_tokens };
    Chunker::new(Arc::new(WordPieces::new(254)), &settings).expect("valid settings")
}

/// Everything that must hold for the chunks of any document.
fn check(extracted: &Extracted, chunks: &[ChunkDraft], tokenizer: &dyn Tokenizer, max_tokens: usize) {
    let text = extracted.text.as_str();
    let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut covered = 0;
    let mut last_start = None;
    for (index, chunk) in chunks.iter().enumerate() {
        let range = bytes[chunk.char_start as usize]..bytes[chunk.char_end as usize];
        assert_eq!(chunk.text, text[range.clone()], "chunk {index} is the text at its place");
        let ids = tokenizer.encode(&chunk.text).expect("never fails").ids;
        assert_eq!(chunk.token_ids, ids, "chunk {index} has the tokens of its text");
        assert!(ids.len() <= max_tokens, "chunk {index} has {} tokens", ids.len());
        assert!(chunk.text.len() <= max_tokens * MAX_BYTES_PER_TOKEN, "chunk {index} has {} bytes", chunk.text.len());
        assert!(!chunk.text.trim().is_empty(), "chunk {index} is empty");
        assert!(last_start < Some(range.start), "chunk {index} begins behind the one before");
        if range.start > covered {
            let lost = &text[covered..range.start];
            assert!(lost.trim().is_empty(), "before chunk {index} is lost: {lost:?}");
        }
        assert!(range.end > covered, "chunk {index} brings nothing new");
        covered = range.end;
        last_start = Some(range.start);
        check_place(extracted, chunk, &range);
    }
    assert!(text[covered..].trim().is_empty(), "the end is lost: {:?}", &text[covered..]);
}

fn check_place(extracted: &Extracted, chunk: &ChunkDraft, range: &std::ops::Range<usize>) {
    let lines = extracted.blocks.iter().flat_map(|block| &block.lines);
    let touched: Vec<&Line> =
        lines.filter(|line| line.range.start < range.end && line.range.end > range.start).collect();
    assert_eq!(Some(chunk.page_start), touched.iter().map(|line| line.page).min());
    assert_eq!(Some(chunk.page_end), touched.iter().map(|line| line.page).max());
    for line in touched {
        let bounds = line.bounds.expect("set");
        let inside = |page_box: &vectrion_core::chunk::PageBox| {
            page_box.page == line.page && page_box.rect.union(bounds) == page_box.rect
        };
        assert!(chunk.boxes.iter().any(inside), "{bounds:?} on page {} is in no box", line.page);
    }
}

#[test]
fn promises_hold_for_random_documents() {
    let settings = [(16, 0), (16, 8), (40, 10), (64, 0), (254, 32), (254, 127)];
    let mut seeded = Seeded(7);
    for round in 0..90 {
        let extracted = random_document(&mut seeded);
        let (max, overlap) = settings[round % settings.len()];
        let chunks = chunker(max, overlap).chunk(&extracted).expect("never fails");
        check(&extracted, &chunks, &WordPieces::new(254), max);
        assert_eq!(chunks, chunker(max, overlap).chunk(&extracted).expect("never fails"), "the same every time");
    }
}

/// A tokenizer whose tokens depend on what stands around them: nothing may be taken over from the whole.
struct Neighbourly;

impl Tokenizer for Neighbourly {
    fn encode(&self, text: &str) -> Result<Tokens> {
        let mut tokens = Tokens::default();
        let mut before = 0;
        for (at, c) in text.char_indices().step_by(3) {
            tokens.ids.push(u32::from(c) ^ before);
            tokens.offsets.push(at..at + c.len_utf8());
            before = u32::from(c) << 3;
        }
        Ok(tokens)
    }

    fn max_tokens(&self) -> usize {
        50
    }

    fn name(&self) -> &str {
        "neighbourly"
    }
}

#[test]
fn promises_hold_for_a_tokenizer_without_locality() {
    let mut seeded = Seeded(11);
    let chunker = Chunker::new(Arc::new(Neighbourly), &ChunkSettings { max_tokens: 0, overlap_tokens: 10 });
    let chunker = chunker.expect("valid settings");
    for _ in 0..20 {
        let extracted = random_document(&mut seeded);
        check(&extracted, &chunker.chunk(&extracted).expect("never fails"), &Neighbourly, 50);
    }
}

/// A document of these blocks, without pages.
fn document(blocks: &[(BlockKind, &str)]) -> Extracted {
    let mut extracted = Extracted::default();
    for (kind, text) in blocks {
        if !extracted.text.is_empty() {
            extracted.text.push_str("\n\n");
        }
        let start = extracted.text.len();
        extracted.text.push_str(text);
        let range = start..extracted.text.len();
        let lines = vec![Line { range: range.clone(), page: 1, bounds: None }];
        extracted.blocks.push(Block { kind: *kind, range, lines });
    }
    let range = 0..extracted.text.len();
    extracted.pages.push(ExtractedPage { number: 1, width: 0.0, height: 0.0, rotation: 0, range });
    extracted
}

fn texts(chunks: &[ChunkDraft]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

/// `count` words of one token each.
fn words(word: &str, count: usize) -> String {
    vec![word; count].join(" ")
}

#[test]
fn small_sections_under_one_parent_share_a_chunk_and_chapters_do_not() {
    use BlockKind::{Heading, Paragraph};
    let extracted = document(&[
        (Heading(1), "Care"),
        (Paragraph, "Intro."),
        (Heading(2), "Daily"),
        (Paragraph, "Wipe it."),
        (Heading(2), "Weekly"),
        (Paragraph, "Oil it."),
        (Heading(1), "Parts"),
        (Heading(2), "Seals"),
        (Paragraph, "Two."),
    ]);
    let chunks = chunker(64, 0).chunk(&extracted).expect("never fails");
    assert_eq!(texts(&chunks), ["Care\n\nIntro.\n\nDaily\n\nWipe it.\n\nWeekly\n\nOil it.", "Parts\n\nSeals\n\nTwo."]);
    assert_eq!(chunks[0].heading_path, ["Care"]);
    assert_eq!(chunks[1].heading_path, ["Parts", "Seals"]);
}

#[test]
fn a_heading_stays_with_what_follows() {
    use BlockKind::{Heading, Paragraph};
    let (one, two) = (words("aa", 40), words("bb", 40));
    let extracted = document(&[(Paragraph, &one), (Heading(1), "Next"), (Paragraph, &two)]);
    let chunks = chunker(64, 0).chunk(&extracted).expect("never fails");
    assert_eq!(texts(&chunks), [one.as_str(), &format!("Next\n\n{two}")]);
}

#[test]
fn cuts_prefer_paragraphs_then_sentences_and_balance() {
    use BlockKind::Paragraph;
    let (a, b, c) = (words("aa", 25), words("bb", 25), words("cc", 40));
    let extracted = document(&[(Paragraph, &a), (Paragraph, &b), (Paragraph, &c)]);
    let chunks = chunker(64, 0).chunk(&extracted).expect("never fails");
    assert_eq!(texts(&chunks), [format!("{a}\n\n{b}"), c.clone()]);
    let sentence = |word: &str| format!("Aa {}.", words(word, 18));
    let long = (0..5).map(|n| sentence(["one", "two", "six", "ten", "men"][n])).collect::<Vec<_>>();
    let extracted = document(&[(Paragraph, &long.join(" "))]);
    let chunks = chunker(64, 0).chunk(&extracted).expect("never fails");
    assert_eq!(texts(&chunks), [long[..3].join(" "), long[3..].join(" ")]);
    let endless = words("word", 130);
    let chunks = chunker(64, 0).chunk(&document(&[(Paragraph, &endless)])).expect("never fails");
    let counts: Vec<usize> = chunks.iter().map(|chunk| chunk.token_ids.len()).collect();
    assert_eq!(counts, [44, 43, 43], "no crumb at the end");
}

#[test]
fn chunks_overlap_by_sentences_inside_a_section_only() {
    use BlockKind::{Heading, Paragraph};
    let sentences: Vec<String> = (0..12).map(|n| format!("No{n} {} end.", words("aa", 7))).collect();
    let text = sentences.join(" ");
    let extracted = document(&[(Heading(1), "One"), (Paragraph, &text), (Heading(1), "Two"), (Paragraph, "Short.")]);
    let chunks = chunker(64, 16).chunk(&extracted).expect("never fails");
    assert!(chunks.len() >= 3);
    for pair in chunks[..chunks.len() - 1].windows(2) {
        assert!(pair[1].char_start < pair[0].char_end, "{:?} and {:?} share nothing", pair[0].text, pair[1].text);
        assert!(pair[1].text.starts_with("No"), "{:?} begins at a sentence", pair[1].text);
    }
    assert_eq!(chunks.last().expect("some").text, "Two\n\nShort.");
}

#[test]
fn tables_are_cut_between_rows() {
    let rows: Vec<String> = (0..40).map(|n| format!("part {n} | {} | ok", words("aa", 4))).collect();
    let extracted = document(&[(BlockKind::Paragraph, "Parts:"), (BlockKind::Table, &rows.join("\n"))]);
    let chunks = chunker(64, 10).chunk(&extracted).expect("never fails");
    assert!(chunks.len() > 4);
    for chunk in &chunks {
        assert!(chunk.text.ends_with("| ok"), "{:?}", chunk.text);
        assert!(chunk.text.starts_with("part ") || chunk.text.starts_with("Parts:\n\npart"), "{:?}", chunk.text);
    }
}

#[test]
fn nothing_gives_nothing() {
    let chunker = chunker(64, 8);
    assert_eq!(chunker.chunk(&Extracted::default()).expect("never fails"), []);
    let blank = Extracted { text: " \n\n ".to_owned(), ..Extracted::default() };
    assert_eq!(chunker.chunk(&blank).expect("never fails"), []);
    let unknown = chunker.chunk(&document(&[(BlockKind::Paragraph, "\u{fffd}")])).expect("never fails");
    assert_eq!(texts(&unknown), ["\u{fffd}"], "a visible character is kept, though the model has no token for it");
}

#[test]
fn the_version_tells_what_makes_other_chunks() {
    assert_eq!(chunker(0, 32).version(), "structure-1/word-pieces/max=254/overlap=32");
    assert_ne!(chunker(0, 32).version(), chunker(0, 16).version());
    assert_ne!(chunker(0, 32).version(), chunker(128, 32).version());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (max_tokens, overlap_tokens) in [(255, 32), (15, 0), (64, 33)] {
        let settings = ChunkSettings { max_tokens, overlap_tokens };
        let error = Chunker::new(Arc::new(WordPieces::new(254)), &settings).err().expect("refused");
        assert_eq!(error.reason(), "INVALID_CHUNK_SETTINGS");
    }
}
