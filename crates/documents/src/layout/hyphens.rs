//! Words broken at the end of a line.

use std::collections::HashMap;

use super::line::{Ending, TextLine};

/// What stands between two lines of a paragraph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// A space.
    Space,
    /// Nothing: scripts without spaces, or a hyphen that belongs to the word.
    Nothing,
    /// Nothing, and the hyphen at the end of the first line goes.
    DropHyphen,
}

/// The document's own words, which tell whether a hyphen at the end of a line belongs to a word.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    /// How often the words that matter occur, in lower case.
    counts: HashMap<String, u32>,
}

impl Vocabulary {
    /// Counts the words that lines broken by a hyphen may be parts of.
    pub(super) fn of(text: &str, lines: &[TextLine]) -> Self {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for pair in lines.windows(2).filter(|pair| pair[0].ending == Ending::Hyphen) {
            if let Some((left, right)) = parts(&text[pair[0].range.clone()], &text[pair[1].range.clone()]) {
                counts.insert(format!("{left}-{right}").to_lowercase(), 0);
                counts.insert(format!("{left}{right}").to_lowercase(), 0);
            }
        }
        if !counts.is_empty() {
            let longest = counts.keys().map(String::len).max().unwrap_or(0);
            for line in lines {
                for word in text[line.range.clone()].split(' ') {
                    let word = word.trim_matches(|c: char| !c.is_alphabetic());
                    if word.len() < 4 || word.len() > longest {
                        continue;
                    }
                    if let Some(count) = counts.get_mut(word) {
                        *count += 1;
                    } else if word.starts_with(char::is_uppercase)
                        && let Some(count) = counts.get_mut(&word.to_lowercase())
                    {
                        *count += 1;
                    }
                }
            }
        }
        Self { counts }
    }

    /// How the second line joins the first.
    pub(super) fn join(&self, first: &str, second: &str) -> Join {
        use super::characters::is_unspaced;
        if first.ends_with(is_unspaced) && second.starts_with(is_unspaced) {
            return Join::Nothing;
        }
        let Some(stem) = first.strip_suffix(['-', '\u{2010}']) else { return Join::Space };
        if !stem.ends_with(char::is_alphanumeric) {
            return Join::Space;
        }
        let Some((left, right)) = parts(first, second) else { return Join::Nothing };
        let count = |word: String| self.counts.get(&word.to_lowercase()).copied().unwrap_or(0);
        // `state-of-the-` and `Anglo-` keep theirs.
        let compound =
            stem.rsplit(' ').next().is_some_and(|word| word.contains('-')) || !right.starts_with(char::is_lowercase);
        // No word is broken after its first letter: `d-dimensional`, `e-mail`.
        let compound = compound || left.chars().count() == 1;
        let (hyphenated, whole) = (count(format!("{left}-{right}")), count(format!("{left}{right}")));
        if hyphenated > whole || (compound && whole == 0) { Join::Nothing } else { Join::DropHyphen }
    }
}

/// The letters on both sides of the hyphen at the end of the first line; none if one side is no word.
fn parts<'a>(first: &'a str, second: &'a str) -> Option<(&'a str, &'a str)> {
    let stem = first.strip_suffix(['-', '\u{2010}'])?;
    let left = stem.rfind(|c: char| !c.is_alphabetic()).map_or(stem, |at| {
        let after = stem[at..].chars().next().map_or(0, char::len_utf8);
        &stem[at + after..]
    });
    let right = second.find(|c: char| !c.is_alphabetic()).map_or(second, |at| &second[..at]);
    (!left.is_empty() && !right.is_empty()).then_some((left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(first: &str, second: &str) -> Join {
        Vocabulary::default().join(first, second)
    }

    #[test]
    fn a_word_broken_at_the_end_of_a_line_is_joined() {
        assert_eq!(join("an exam-", "ple of it"), Join::DropHyphen);
        assert_eq!(join("ein Bei\u{2010}", "spiel"), Join::DropHyphen);
    }

    #[test]
    fn a_hyphen_of_the_word_stays() {
        assert_eq!(join("the Anglo-", "American"), Join::Nothing);
        assert_eq!(join("state-of-the-", "art"), Join::Nothing);
        assert_eq!(join("in 2019-", "2020"), Join::Nothing);
        assert_eq!(join("vectors of a d-", "dimensional space"), Join::Nothing);
    }

    #[test]
    fn the_documents_own_words_decide() {
        let vocabulary = Vocabulary { counts: HashMap::from([("self-service".into(), 2), ("selfservice".into(), 0)]) };
        assert_eq!(vocabulary.join("a self-", "service desk"), Join::Nothing);
        let vocabulary = Vocabulary { counts: HashMap::from([("tracemonkey".into(), 9)]) };
        assert_eq!(vocabulary.join("the Trace-", "Monkey engine"), Join::DropHyphen);
    }

    #[test]
    fn a_dash_is_no_hyphen() {
        assert_eq!(join("one thing -", "another"), Join::Space);
        assert_eq!(join("a line", "and the next"), Join::Space);
    }

    #[test]
    fn scripts_without_spaces_are_joined_without_one() {
        assert_eq!(join("関于紅軍", "作戦"), Join::Nothing);
    }
}
