use std::sync::LazyLock;

use super::*;

static TOKENIZER: LazyLock<MiniLmTokenizer> =
    LazyLock::new(|| MiniLmTokenizer::load(&vectrion_testkit::assets_dir()).unwrap());

/// What the `tokenizers` crate makes of the text.
fn by_reference(text: &str) -> Tokens {
    let encoding = TOKENIZER.reference.encode(text, false).unwrap();
    let offsets = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
    Tokens { ids: encoding.get_ids().to_vec(), offsets }
}

fn assert_same(text: &str) {
    let (ours, theirs) = (TOKENIZER.encode(text).unwrap(), by_reference(text));
    if ours == theirs {
        return;
    }
    let differs =
        ours.ids.iter().zip(&ours.offsets).zip(theirs.ids.iter().zip(&theirs.offsets)).position(|(a, b)| a != b);
    let place = differs.and_then(|index| theirs.offsets.get(index)).map_or(0, |range| range.start);
    let around: String = text[..place].chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
    let from: String = text[place..].chars().take(24).collect();
    panic!("differs at token {differs:?}, byte {place}: …{around:?} | {from:?}\n ours {ours:?}\n theirs {theirs:?}");
}

#[test]
fn ids_and_offsets_are_the_reference_s_on_awkward_texts() {
    let long = "a".repeat(101);
    let just_fits = "é".repeat(100);
    let marks = format!("{}\u{301}\u{323} {}\u{334}", "x".repeat(99), "ü".repeat(101));
    let texts = [
        "",
        " ",
        "\n\n",
        "Hello, World!",
        "can't won't   double  spaces\tand\r\nlines",
        "unaffable antidisestablishmentarianism's Übergröße",
        "naïve CAFÉ cafe\u{301} e\u{301}\u{323}\u{327} \u{301}leading mark",
        "İstanbul ISTANBUL ıI ﬁne ẞ ǅ Ω K Å",
        "中文分词test混合テスト한국어กขค हिन्दी עברית العربية",
        "\u{F900}\u{2F800}中\u{301}文",
        "a\0b\u{7}c\u{200B}d\u{AD}e\u{FEFF}f\u{FFFD}g",
        "a\u{85}b\u{A0}c\u{3000}d\u{2028}e\u{B}f\u{1680}g",
        "👍🏽 🤣 👩‍👩‍👧‍👦 🇩🇪 x🤣y",
        "Zalgo t̵̡̛e̶̢̕x̷̧̛t here",
        "\u{302E}가\u{302E}나 다\u{302F} 라",
        "\u{1D15E} \u{1D165}\u{1D16E} a\u{1D165}b",
        "price: $5.00 «quoted» “curly” — dash… 50 % ¿qué? ;\u{37E}`\u{1FEF}",
        "[SEP] a[CLS]b [ MASK ] [MASK][MASK] [PAD]x [UNK] [sep] [[SEP]] [SEP",
        "##ing # # ##",
        &long,
        &just_fits,
        &marks,
    ];
    for text in texts {
        assert_same(text);
        assert_same(&format!("before {text} after {text}"));
    }
}

#[test]
fn endless_words_are_one_unknown_token() {
    for (word, times) in [("a", 40_000), ("é", 20_000), ("ab각", 9_000), ("ж", 8_192)] {
        let endless = word.repeat(times);
        assert_same(&format!("before {endless} after"));
        assert_same(&format!("{endless}!{endless}"));
    }
}

#[test]
fn endless_text_whose_characters_act_on_each_other_is_read_in_parts() {
    let endless = format!("{}\u{302E}", "가".repeat(40_000)).repeat(3);
    let tokens = TOKENIZER.encode(&format!("before {endless} after")).unwrap();
    let (first, last) = (&tokens.offsets[0], &tokens.offsets[tokens.offsets.len() - 1]);
    assert_eq!((first.clone(), last.len()), (0..6, 5));
    assert!(tokens.offsets.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", tokens.offsets);
}

#[test]
fn ids_and_offsets_are_the_reference_s_for_every_kind_of_character() {
    // All of the first blocks, then a sample: dense where scripts are, sparse in ideographs, syllables and the planes
    // beyond.
    let codes = (0..0x3400_u32).chain((0x3400..0xF900).step_by(61)).chain(0xF900..=0xFFFF);
    let codes = codes.chain((0x1_0000..0x2_0000).step_by(7)).chain((0x2_0000..0x11_0000).step_by(4099));
    let chars: Vec<char> = codes.filter_map(char::from_u32).collect();
    for some in chars.chunks(512) {
        // In a word, alone, and beside others of its kind.
        let text: String = some.iter().map(|c| format!("ab{c}cd {c} ")).collect();
        assert_same(&text);
        assert_same(&some.iter().collect::<String>());
    }
}

#[test]
fn ids_and_offsets_are_the_reference_s_on_random_mixtures() {
    let pieces = [
        "the",
        "ing",
        "Quarter",
        "Größe",
        "x",
        "9",
        "2024",
        "🙂",
        "界",
        "한",
        "ก",
        "ी",
        "\u{301}",
        "\u{323}",
        "\u{302E}",
        "\u{1D165}",
        "\u{200D}",
        "\0",
        " ",
        "  ",
        "\n",
        "\u{A0}",
        ".",
        ",",
        "[",
        "]",
        "[SEP]",
        "[MASK]",
        "-",
        "«",
        "_",
        "İ",
        "ß",
        "Σ",
        "ж",
        "𝔘",
        "ﬀ",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    for _ in 0..600 {
        let text: String = (0..1 + next(24)).map(|_| pieces[next(pieces.len())]).collect();
        assert_same(&text);
    }
}

#[test]
fn the_reference_fixture_holds() {
    #[derive(serde::Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        text: String,
        token_ids: Vec<u32>,
        byte_offsets: Vec<(usize, usize)>,
    }
    let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/minilm_reference.json")).unwrap();
    assert!(fixture.cases.len() >= 20);
    for case in fixture.cases {
        let tokens = TOKENIZER.encode(&case.text).unwrap();
        assert_eq!(tokens.ids, case.token_ids, "{}", case.name);
        let offsets: Vec<_> = tokens.offsets.iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(offsets, case.byte_offsets, "{}", case.name);
    }
}

#[test]
fn offsets_do_not_go_back_and_lie_on_characters() {
    let text = "Ein Käfer läuft 中文 한국어 e\u{301} [SEP] Ende".repeat(3);
    let tokens = TOKENIZER.encode(&text).unwrap();
    assert_eq!(tokens.ids.len(), tokens.offsets.len());
    for range in &tokens.offsets {
        assert!(text.get(range.clone()).is_some(), "{range:?}");
    }
    assert!(tokens.offsets.is_sorted_by(|a, b| a.start <= b.start && a.end <= b.end));
}

#[test]
fn assets_that_are_missing_or_wrong_are_named() {
    let assets = tempfile::tempdir().unwrap();
    let missing = MiniLmTokenizer::load(assets.path()).err().unwrap();
    assert_eq!(missing.reason(), "MODEL_ASSETS_MISSING");
    assert!(missing.message().contains("tokenizer.json") && missing.message().contains("make assets"));

    let directory = assets.path().join(MODEL);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("tokenizer.json"), "{}").unwrap();
    let wrong = MiniLmTokenizer::load(assets.path()).err().unwrap();
    assert_eq!(wrong.reason(), "MODEL_ASSETS_UNUSABLE");
    assert!(wrong.message().contains("tokenizer.json") && wrong.message().contains("make assets"));
}
