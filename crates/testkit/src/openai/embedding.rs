//! Vectors without a model.

/// A vector of unit length that depends on nothing but the words of the text: equal texts have equal vectors, texts
/// that share words are nearer to each other than texts that do not. Feature hashing with random signs, after
/// Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009).
#[must_use]
pub fn hash_embedding(text: &str, dimension: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimension];
    let mut words = 0;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add_signs(&mut vector, fnv1a(word.to_lowercase().as_bytes()));
        words += 1;
    }
    if words == 0 {
        add_signs(&mut vector, fnv1a(text.as_bytes()));
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

/// Adds +1 or −1 to each number, by the bits of a generator seeded with the word.
fn add_signs(vector: &mut [f32], seed: u64) {
    let mut state = seed;
    for numbers in vector.chunks_mut(64) {
        let mut bits = splitmix64(&mut state);
        for number in numbers {
            *number += if bits & 1 == 1 { 1.0 } else { -1.0 };
            bits >>= 1;
        }
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn shared_words_are_nearer_than_others_and_equal_texts_are_equal() {
        let fox = hash_embedding("the quick brown fox", 384);
        assert_eq!(fox, hash_embedding("The quick, brown fox!", 384));
        assert!((cosine(&fox, &fox) - 1.0).abs() < 1e-5);
        let near = cosine(&fox, &hash_embedding("a quick brown dog", 384));
        let far = cosine(&fox, &hash_embedding("quarterly earnings report", 384));
        assert!(near > 0.3 && far.abs() < 0.3, "near {near}, far {far}");
    }

    #[test]
    fn a_text_without_words_has_a_vector_too() {
        let vector = hash_embedding("!?", 7);
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5);
    }
}
