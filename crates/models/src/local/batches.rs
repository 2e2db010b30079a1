//! From texts of any length to batches the model takes, and back.

use std::collections::BTreeMap;

use crate::tokenizer::SEQUENCE_LENGTH;

const CLS: i64 = 101;
const SEP: i64 = 102;

/// Sequences of one length, so that nothing is padded: padding would be computed for nothing, and the fused attention
/// kernel takes no mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Tokens of each sequence, the special ones among them.
    pub length: usize,
    /// Ids, sequence after sequence.
    pub ids: Vec<i64>,
    /// Which text each sequence belongs to.
    pub owners: Vec<usize>,
}

impl Batch {
    /// Sequences in it.
    pub(super) fn sequences(&self) -> usize {
        self.ids.len() / self.length
    }
}

/// Cuts each text into as few windows as the model takes, of equal size, and gathers windows of the same length, the
/// longest first, in batches of up to `max_batch_tokens`.
pub(super) fn plan(texts: &[Vec<u32>], max_batch_tokens: usize) -> Vec<Batch> {
    let mut by_length: BTreeMap<usize, Vec<(usize, &[u32])>> = BTreeMap::new();
    for (owner, ids) in texts.iter().enumerate() {
        let windows = ids.len().div_ceil(SEQUENCE_LENGTH - 2).max(1);
        for window in 0..windows {
            let window = &ids[ids.len() * window / windows..ids.len() * (window + 1) / windows];
            by_length.entry(window.len() + 2).or_default().push((owner, window));
        }
    }
    let mut batches = Vec::new();
    for (length, windows) in by_length.into_iter().rev() {
        for some in windows.chunks((max_batch_tokens / length).max(1)) {
            let mut batch = Batch { length, ids: Vec::with_capacity(some.len() * length), owners: Vec::new() };
            for (owner, window) in some {
                batch.ids.push(CLS);
                batch.ids.extend(window.iter().map(|id| i64::from(*id)));
                batch.ids.push(SEP);
                batch.owners.push(*owner);
            }
            batches.push(batch);
        }
    }
    batches
}

/// Puts the vectors of batches back in the order of the texts. A text of several windows gets their mean, of length
/// one.
pub(super) struct Assembly {
    texts: Vec<(Vec<f32>, u32)>,
}

impl Assembly {
    pub(super) fn of(texts: usize) -> Self {
        Self { texts: vec![(Vec::new(), 0); texts] }
    }

    pub(super) fn add(&mut self, owner: usize, vector: &[f32]) {
        let (sum, windows) = &mut self.texts[owner];
        if *windows == 0 {
            sum.extend_from_slice(vector);
        } else {
            sum.iter_mut().zip(vector).for_each(|(total, value)| *total += value);
        }
        *windows += 1;
    }

    pub(super) fn finish(self) -> Vec<Vec<f32>> {
        let normalised = |(mut vector, windows): (Vec<f32>, u32)| {
            if windows > 1 {
                let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                vector.iter_mut().for_each(|value| *value /= norm);
            }
            vector
        };
        self.texts.into_iter().map(normalised).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: u32) -> Vec<u32> {
        (1000..1000 + length).collect()
    }

    #[test]
    fn batches_hold_one_length_and_the_longest_go_first() {
        let texts = [text(3), text(10), text(3), text(0), text(3)];
        let batches = plan(&texts, 12);
        let shapes: Vec<_> = batches.iter().map(|batch| (batch.length, batch.owners.clone())).collect();
        assert_eq!(shapes, [(12, vec![1]), (5, vec![0, 2]), (5, vec![4]), (2, vec![3])]);
        assert_eq!(batches[1].ids, [101, 1000, 1001, 1002, 102, 101, 1000, 1001, 1002, 102]);
    }

    #[test]
    fn a_long_text_becomes_equal_windows_that_lose_nothing() {
        let texts = [text(254), text(255), text(1000)];
        let mut batches = plan(&texts, 1);
        assert!(batches.iter().all(|batch| batch.length <= SEQUENCE_LENGTH && batch.owners.len() == 1));
        batches.sort_by_key(|batch| (batch.owners[0], batch.ids[1]));
        for (owner, windows) in [(0, 1), (1, 2), (2, 4)] {
            let parts: Vec<_> = batches.iter().filter(|batch| batch.owners == [owner]).collect();
            assert_eq!(parts.len(), windows);
            let ids: Vec<u32> = parts
                .iter()
                .flat_map(|part| &part.ids[1..part.length - 1])
                .map(|id| u32::try_from(*id).unwrap())
                .collect();
            assert_eq!(ids, texts[owner]);
        }
    }

    #[test]
    fn windows_are_averaged_and_single_vectors_left_as_they_are() {
        let mut assembly = Assembly::of(2);
        assembly.add(1, &[1.0, 0.0]);
        assembly.add(0, &[0.6, 0.8]);
        assembly.add(1, &[0.0, 1.0]);
        let half = 0.5_f32.sqrt();
        assert_eq!(assembly.finish(), [vec![0.6, 0.8], vec![half, half]]);
    }
}
