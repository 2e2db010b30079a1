//! Where sentences begin.
//!
//! Not the boundaries of UAX #29: those take every `Dr. Who` apart, and finding them is quadratic on hostile text. This
//! errs on the side of too few boundaries, in one pass.

/// Words before a full stop that seldom end a sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "abs", "al", "approx", "apr", "art", "aug", "bsp", "bspw", "bzw", "ca", "cf", "col", "corp", "d.h", "dec", "dept",
    "dipl", "dr", "e.g", "eq", "etc", "evtl", "feb", "fig", "figs", "fr", "gem", "gen", "ggf", "hr", "hrsg", "i.d.r",
    "i.e", "inc", "incl", "inkl", "ing", "jan", "jr", "jul", "jun", "lfd", "ltd", "m.e", "mar", "max", "min", "mio",
    "mr", "mrd", "mrs", "ms", "no", "nos", "nov", "nr", "oct", "okt", "pp", "prof", "sec", "sen", "sep", "sept", "sog",
    "sr", "st", "str", "tel", "u.a", "usw", "v.a", "vgl", "vol", "vs", "z.b", "z.t", "zzgl",
];

/// Bytes looked back for the word before a full stop; longer words are no abbreviations.
const MAX_ABBREVIATION: usize = 8;

/// Bytes looked ahead for what closes a sentence and for the start of the next.
const MAX_GAP: usize = 64;

/// The starts of the sentences that begin behind `from` and not behind `to`, in order.
pub(super) fn sentence_starts(text: &str, from: usize, to: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let bytes = text.as_bytes();
    // The end of the sentence stands before the space before the start.
    let mut at = text.floor_char_boundary(from.saturating_sub(4));
    let to = to.min(text.len());
    while at < to {
        let byte = bytes[at];
        if byte.is_ascii() {
            if matches!(byte, b'.' | b'!' | b'?') {
                at = end_found(text, at, at + 1, char::from(byte), from, to, &mut starts);
            } else {
                at += 1;
            }
            continue;
        }
        let Some(c) = text[at..].chars().next() else { break };
        let next = at + c.len_utf8();
        at = match c {
            '…' | '。' | '！' | '？' | '｡' | '．' | '؟' | '۔' | '।' | '॥' => {
                end_found(text, at, next, c, from, to, &mut starts)
            }
            _ => next,
        };
    }
    starts
}

/// Looks at what stands around the mark at `at`; gives where to go on.
fn end_found(
    text: &str,
    at: usize,
    behind: usize,
    mark: char,
    from: usize,
    to: usize,
    starts: &mut Vec<usize>,
) -> usize {
    let rest = &text[behind..text.floor_char_boundary((behind + MAX_GAP).min(text.len()))];
    let closed = rest.trim_start_matches([
        '.', '!', '?', '…', '。', '！', '？', ')', ']', '}', '"', '\'', '”', '’', '»', '«', '“', '」', '』', '）',
    ]);
    let gap = closed.trim_start();
    let start = behind + rest.len() - gap.len();
    let behind_closers = behind + rest.len() - closed.len();
    let is_wide = matches!(mark, '。' | '！' | '？' | '｡' | '．');
    let Some(next) = gap.chars().next() else { return start };
    let has_gap = gap.len() < closed.len() || is_wide;
    let is_end =
        has_gap && !next.is_lowercase() && (mark != '.' || behind_closers > behind || ends_sentence(&text[..at]));
    if is_end && start > from && start <= to {
        starts.push(start);
    }
    start.max(behind)
}

/// Whether a full stop behind this text ends a sentence: not behind an abbreviation, an initial or an ordinal number.
fn ends_sentence(before: &str) -> bool {
    let near = &before[before.floor_char_boundary(before.len().saturating_sub(MAX_ABBREVIATION + 4))..];
    let is_part = |c: char| c.is_alphanumeric() || c == '.';
    let begin = near.rfind(|c| !is_part(c)).map_or(0, |at| at + near[at..].chars().next().map_or(0, char::len_utf8));
    let word = near[begin..].trim_start_matches('.');
    if word.is_empty() || word.len() > MAX_ABBREVIATION {
        return true;
    }
    let is_ordinal = word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    let last = word.rsplit('.').next().unwrap_or(word);
    let is_initial = last.chars().count() == 1 && last.chars().all(char::is_alphabetic);
    !is_ordinal && !is_initial && !ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut from = 0;
        for start in sentence_starts(text, 0, text.len()) {
            parts.push(text[from..start].trim_end());
            from = start;
        }
        parts.push(&text[from..]);
        parts
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(
            sentences("It works. It is fast! Is it? Yes…  \"Good.\" (So.) End"),
            ["It works.", "It is fast!", "Is it?", "Yes…", "\"Good.\"", "(So.)", "End",]
        );
        assert_eq!(
            sentences("これは試験です。次の文。「終わり。」また"),
            ["これは試験です。", "次の文。", "「終わり。」", "また"]
        );
        assert_eq!(sentences("Это тест. Другое! Да"), ["Это тест.", "Другое!", "Да"]);
        assert_eq!(sentences("Am Ende. Ölstand prüfen."), ["Am Ende.", "Ölstand prüfen."]);
        assert_eq!(sentences("Wait... What?! Oh"), ["Wait...", "What?!", "Oh"]);
    }

    #[test]
    fn abbreviations_numbers_and_names_do_not_end_them() {
        for whole in [
            "Dr. Ada Example met Mr. Bob.",
            "See Fig. 3 and e.g. Table 2.",
            "J. R. Miller, U.S. Army",
            "Am 3. Mai, z.B. in Abs. 4 Nr. 2",
            "Version 2.5 is out at example.org today",
            "what.about this",
            "he said \"stop.\" and left",
        ] {
            assert_eq!(sentences(whole), [whole]);
        }
    }

    #[test]
    fn windows_give_the_starts_inside_them() {
        let text = "One. Two. Three. Four.";
        let all = sentence_starts(text, 0, text.len());
        assert_eq!(all, [5, 10, 17]);
        for from in 0..text.len() {
            for to in from..=text.len() {
                let inside: Vec<usize> = all.iter().copied().filter(|at| (from + 1..=to).contains(at)).collect();
                assert_eq!(sentence_starts(text, from, to), inside, "{from}..{to}");
            }
        }
    }
}
