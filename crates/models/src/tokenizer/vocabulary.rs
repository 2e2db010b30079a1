//! The vocabulary as a trie, and WordPiece over it.

use std::{collections::BTreeMap, ops::Range};

const NONE: u32 = u32::MAX;

/// A byte trie of the tokens. The pieces that continue a word hang below the node of their prefix (`##`).
pub(super) struct Vocabulary {
    nodes: Vec<Node>,
    /// Labels of the edges of all nodes, each node's own in a row.
    labels: Vec<u8>,
    targets: Vec<u32>,
    continuation: u32,
    unknown: u32,
    max_word_chars: usize,
}

struct Node {
    edges: u32,
    edge_count: u16,
    id: u32,
}

impl Vocabulary {
    /// A vocabulary of tokens with their ids. Words of more than `max_word_chars` characters are `unknown` as a whole.
    pub(super) fn new<'a>(
        tokens: impl Iterator<Item = (&'a str, u32)>,
        continuation_prefix: &str,
        unknown: u32,
        max_word_chars: usize,
    ) -> Self {
        let mut children: Vec<BTreeMap<u8, u32>> = vec![BTreeMap::new()];
        let mut ids = vec![NONE];
        let mut insert = |bytes: &[u8]| {
            let mut node = 0_u32;
            for &byte in bytes {
                let next = u32::try_from(children.len()).expect("a vocabulary has fewer than 2^32 bytes");
                let target = *children[node as usize].entry(byte).or_insert(next);
                if target == next {
                    children.push(BTreeMap::new());
                    ids.push(NONE);
                }
                node = target;
            }
            node
        };
        let continuation = insert(continuation_prefix.as_bytes());
        let ends: Vec<(u32, u32)> = tokens.map(|(token, id)| (insert(token.as_bytes()), id)).collect();
        for (node, id) in ends {
            ids[node as usize] = id;
        }
        let mut vocabulary = Self {
            nodes: Vec::with_capacity(children.len()),
            labels: Vec::with_capacity(children.len()),
            targets: Vec::with_capacity(children.len()),
            continuation,
            unknown,
            max_word_chars,
        };
        for (edges, id) in children.iter().zip(ids) {
            vocabulary.nodes.push(Node {
                edges: u32::try_from(vocabulary.labels.len()).expect("a vocabulary has fewer than 2^32 bytes"),
                edge_count: u16::try_from(edges.len()).expect("a byte has 256 values"),
                id,
            });
            vocabulary.labels.extend(edges.keys());
            vocabulary.targets.extend(edges.values());
        }
        vocabulary
    }

    /// Splits a normalised word into its pieces, longest first from the left (WordPiece, Wu et al. 2016), and gives
    /// each with its byte range; or the unknown token for all of it.
    pub(super) fn split(&self, word: &[u8], pieces: &mut Vec<(u32, Range<usize>)>) {
        pieces.clear();
        if word.len() > self.max_word_chars && chars_in(word) > self.max_word_chars {
            pieces.push((self.unknown, 0..word.len()));
            return;
        }
        let mut start = 0;
        let mut root = 0;
        while start < word.len() {
            let Some((id, length)) = self.longest(root, &word[start..]) else {
                pieces.clear();
                pieces.push((self.unknown, 0..word.len()));
                return;
            };
            pieces.push((id, start..start + length));
            start += length;
            root = self.continuation;
        }
    }

    /// The longest token that begins `bytes`. Tokens are whole characters, and so is `bytes`: a match never ends
    /// inside one.
    fn longest(&self, root: u32, bytes: &[u8]) -> Option<(u32, usize)> {
        let mut found = None;
        let mut node = root;
        for (position, &byte) in bytes.iter().enumerate() {
            match self.child(node, byte) {
                Some(child) => node = child,
                None => break,
            }
            let id = self.nodes[node as usize].id;
            if id != NONE {
                found = Some((id, position + 1));
            }
        }
        found
    }

    #[inline]
    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let node = &self.nodes[node as usize];
        let edges = node.edges as usize..node.edges as usize + usize::from(node.edge_count);
        let position = self.labels[edges.clone()].iter().position(|&label| label == byte)?;
        Some(self.targets[edges.start + position])
    }
}

fn chars_in(utf8: &[u8]) -> usize {
    utf8.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(word: &str) -> Vec<(u32, Range<usize>)> {
        let tokens = [("[UNK]", 0), ("un", 1), ("##aff", 2), ("##able", 3), ("unaff", 4), ("##a", 5), ("é", 6)];
        let mut pieces = Vec::new();
        Vocabulary::new(tokens.into_iter(), "##", 0, 10).split(word.as_bytes(), &mut pieces);
        pieces
    }

    #[test]
    fn the_longest_piece_wins_and_continuations_differ_from_beginnings() {
        assert_eq!(split("unaffable"), [(4, 0..5), (3, 5..9)]);
        assert_eq!(split("una"), [(1, 0..2), (5, 2..3)]);
        assert_eq!(split("é"), [(6, 0..2)]);
    }

    #[test]
    fn a_word_with_a_hole_or_too_long_is_unknown_as_a_whole() {
        assert_eq!(split("unx"), [(0, 0..3)]);
        assert_eq!(split("able"), [(0, 0..4)]);
        assert_eq!(split("unaaaaaaaa").len(), 9);
        assert_eq!(split("unaaaaaaaaa"), [(0, 0..11)]);
    }
}
