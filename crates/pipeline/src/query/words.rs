//! Words that tell something: what a question and a passage share.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation as _;

/// Words too common to tell anything, in the languages that the samples and most users write.
const STOPWORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "before", "being",
    "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing", "during", "each", "for", "from",
    "further", "give", "had", "has", "have", "having", "he", "her", "here", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "list", "many", "may", "me", "might", "more", "most", "much", "must", "my",
    "name", "no", "nor", "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own",
    "please", "same", "shall", "she", "should", "show", "so", "some", "such", "tell", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up", "us",
    "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your", "aber", "als", "am", "an", "auch", "auf", "aus", "bei", "bin", "bis", "bist", "da",
    "dann", "das", "dass", "dem", "den", "der", "des", "die", "dies", "diese", "dieser", "dieses", "durch", "ein",
    "eine", "einem", "einen", "einer", "eines", "er", "es", "für", "hat", "haben", "hatte", "ich", "ihr", "im", "ist",
    "ja", "kann", "mit", "nach", "nicht", "noch", "nur", "oder", "sein", "sich", "sie", "sind", "so", "über", "um",
    "und", "uns", "unter", "vom", "von", "vor", "wann", "war", "waren", "warum", "was", "welche", "welcher", "welches",
    "wenn", "wer", "werden", "wie", "wieviel", "viele", "wird", "wo", "wurde", "wurden", "zu", "zum", "zur", "au",
    "aux", "avec", "ce", "ces", "cette", "combien", "comment", "dans", "de", "des", "du", "elle", "en", "est", "et",
    "il", "ils", "la", "le", "les", "leur", "ne", "nous", "ou", "où", "par", "pas", "pour", "pourquoi", "quand", "que",
    "quel", "quelle", "quelles", "quels", "qui", "quoi", "se", "son", "sont", "sur", "un", "une", "vous", "como",
    "con", "cual", "cuando", "cuánto", "del", "donde", "el", "es", "esta", "este", "lo", "los", "las", "para", "por",
    "que", "qué", "quién", "se", "su", "una", "y",
];

/// The telling words of a text, folded: lower case, common endings off.
pub(super) fn telling_words(text: &str) -> HashSet<String> {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| !STOPWORDS.contains(&word.as_str()))
        .filter(|word| word.chars().count() > 1 || word.chars().any(|c| c.is_numeric()))
        .map(|word| fold(&word))
        .collect()
}

/// Takes common English and German endings off, so that forms of a word meet. Crude on purpose: it only judges whether
/// texts share words, and the index has its own stemmer.
fn fold(word: &str) -> String {
    if word.chars().any(|c| c.is_numeric()) {
        return word.to_owned();
    }
    let long_enough = |stem: &str| stem.chars().count() >= 4;
    for (ending, with) in
        [("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("en", ""), ("er", ""), ("s", ""), ("e", "")]
    {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| long_enough(stem)) {
            return format!("{stem}{with}");
        }
    }
    word.to_owned()
}

/// Share of `wanted` that stands in `there`, 0 to 1; 0 if nothing is wanted.
pub(super) fn share(wanted: &HashSet<String>, there: &HashSet<String>) -> f32 {
    if wanted.is_empty() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
    let share = wanted.intersection(there).count() as f32 / wanted.len() as f32;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_meet_and_common_words_tell_nothing() {
        let question = telling_words("What are the revenues of the companies?");
        assert_eq!(question, telling_words("revenue company"));
        assert!(telling_words("what is it and how").is_empty());
        assert_eq!(share(&question, &telling_words("The revenue rose")), 0.5);
    }

    #[test]
    fn numbers_tell() {
        assert!(telling_words("in 2022 and 7").contains("2022"));
    }
}
