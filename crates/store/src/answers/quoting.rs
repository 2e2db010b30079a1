//! Whether a text has words of another.

use std::collections::HashSet;

/// Words in a row that count as a quotation even if each of them stands elsewhere, too.
const RUN: usize = 4;

/// Whether `text` has a word, or four words in a row, that stand in `source` and in none of `others`. What all of them
/// say cannot be told to be the source's.
///
/// Errs on the side of yes: a common word that happens to stand in no other text counts. It decides what is left of an
/// answer when a document is deleted, where a word too much removed is better than one left.
pub(super) fn quotes<'a>(
    text: &str,
    source: impl IntoIterator<Item = &'a str>,
    others: impl IntoIterator<Item = &'a str>,
) -> bool {
    let text = words(text);
    let source: Vec<Vec<String>> = source.into_iter().map(words).collect();
    let others: Vec<Vec<String>> = others.into_iter().map(words).collect();
    [1, RUN].into_iter().any(|length| {
        let own = runs(&source, length);
        let common = runs(&others, length);
        text.windows(length).any(|run| own.contains(run) && !common.contains(run))
    })
}

fn runs(texts: &[Vec<String>], length: usize) -> HashSet<&[String]> {
    texts.iter().flat_map(|words| words.windows(length)).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_its_own_is_a_quotation() {
        assert!(quotes("The code is ZEBRA-9134.", ["code: zebra-9134"], ["What is the code?"]));
        assert!(!quotes("The code is secret.", ["the code: 9134"], ["the code is known"]));
    }

    #[test]
    fn what_others_say_as_well_is_none() {
        let source = ["Revenue rose by five percent in 2023."];
        assert!(!quotes("Revenue rose by five percent.", source, ["Their revenue rose by five percent."]));
    }

    #[test]
    fn common_words_in_the_source_s_order_are_one() {
        let source = ["the patient was told nothing"];
        let others = ["nothing was told", "the doctor saw the patient"];
        assert!(quotes("I read that the patient was told nothing.", source, others));
        assert!(!quotes("nothing was told", source, others));
    }

    #[test]
    fn white_space_and_case_do_not_matter() {
        assert!(quotes("ALPHA\n beta", ["alpha  Beta"], []));
        assert!(!quotes("", ["alpha"], []));
    }
}
