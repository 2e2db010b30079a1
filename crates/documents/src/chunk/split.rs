//! Where a document is cut.

use std::ops::Range;

use vectrion_core::{Result, extraction::BlockKind};

use super::{
    cuts::{Cut, Cuts, cost},
    outline::{Outline, Section},
    sentences::sentence_starts,
    tokens::TokenMap,
};

/// What a chunk may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Tokens at the most.
    pub(super) tokens: usize,
    /// Bytes at the most.
    pub(super) bytes: usize,
    /// Tokens repeated from the chunk before, at the most.
    pub(super) overlap: usize,
}

/// Takes the chunks, in order: the range, and the headings above it.
pub(super) type Emit<'f> = &'f mut dyn FnMut(Range<usize>, &[String]) -> Result<()>;

/// Cuts one document.
pub(super) struct Splitter<'d> {
    text: &'d str,
    tokens: &'d TokenMap<'d>,
    outline: &'d Outline,
    limits: Limits,
}

/// The cheapest cut so far.
struct Best {
    cost: f32,
    at: Option<usize>,
}

impl Default for Best {
    fn default() -> Self {
        Self { cost: f32::INFINITY, at: None }
    }
}

impl Best {
    fn consider(&mut self, at: usize, cost: f32) {
        // Of two that are as good, the longer chunk.
        if cost <= self.cost {
            *self = Self { cost, at: Some(at) };
        }
    }
}

/// A chunk to be cut off: where it begins and what is wanted of its end.
struct Wanted {
    /// Start of the chunk.
    start: usize,
    /// Tokens before it.
    from: usize,
    /// Text up to here is in an earlier chunk already.
    done: usize,
    /// End of the section.
    end: usize,
    /// Tokens aimed at.
    goal: usize,
    /// Tokens at the most.
    room: usize,
}

impl<'d> Splitter<'d> {
    pub(super) fn new(text: &'d str, tokens: &'d TokenMap<'d>, outline: &'d Outline, limits: Limits) -> Self {
        Self { text, tokens, outline, limits }
    }

    /// Cuts the document.
    pub(super) fn split(&self, emit: Emit<'_>) -> Result<()> {
        let mut rest = self.outline.sections.as_slice();
        while let Some(section) = rest.first() {
            let together = self.sections_together(rest)?;
            let (group, behind) = rest.split_at(together.max(1));
            if together == 0 {
                self.split_section(section, emit)?;
            } else {
                let path = group[1..].iter().fold(section.path.as_slice(), |path, other| shared(path, &other.path));
                emit(self.outline.range(group), path)?;
            }
            rest = behind;
        }
        Ok(())
    }

    /// How many of these sections go into one chunk; 0 when the first is too long by itself.
    fn sections_together(&self, sections: &[Section]) -> Result<usize> {
        let first = &sections[0];
        if !self.fits(&self.outline.range(&sections[..1]))? {
            return Ok(0);
        }
        // Chapters stay apart; what is below one chapter may share a chunk.
        let mut parent = first.parent();
        let mut count = 1;
        while let Some(next) = sections.get(count) {
            let is_below = !first.path.is_empty() && next.path.starts_with(&first.path);
            if is_below && first.path.len() == 1 {
                parent = &first.path;
            }
            let opens_subtree = sections
                .get(count + 1)
                .is_some_and(|after| after.path.len() > next.path.len() && after.path.starts_with(&next.path));
            let belongs = next.path.starts_with(parent) && (is_below || !opens_subtree);
            if !belongs || !self.fits(&self.outline.range(&sections[..=count]))? {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Whether a piece of text may be a chunk. Never costs more than tokenising one chunk.
    fn fits(&self, range: &Range<usize>) -> Result<bool> {
        if range.len() > self.limits.bytes {
            return Ok(false);
        }
        let about = self.tokens.before(range.end) - self.tokens.before(range.start);
        Ok(about <= self.limits.tokens && self.tokens.count(range.clone())? <= self.limits.tokens)
    }

    /// Cuts a section that is too long for one chunk.
    fn split_section(&self, section: &Section, emit: Emit<'_>) -> Result<()> {
        let range = self.outline.range(std::slice::from_ref(section));
        let mut cuts = Cuts::new(self.text, &self.outline.pieces[section.pieces.clone()]);
        let (mut start, mut done) = (range.start, range.start);
        while !self.fits(&(start..range.end))? {
            let at = self.next_cut(cuts.between(start, start + self.limits.bytes), start, done, range.end)?;
            emit(self.trimmed(start..at), &section.path)?;
            done = at + (self.text[at..].len() - self.text[at..].trim_start().len());
            start = self.overlap_start(cuts.between(start, done), start, done);
        }
        emit(start..range.end, &section.path)
    }

    /// Where the chunk that begins at `start` ends.
    fn next_cut(&self, cuts: &[Cut], start: usize, done: usize, end: usize) -> Result<usize> {
        let Limits { tokens: most, overlap, .. } = self.limits;
        let from = self.tokens.before(start);
        let remaining = self.tokens.before(end) - from;
        // Chunks of one section are about equally long: no crumb at its end.
        let chunks = remaining.saturating_sub(overlap).div_ceil(most - overlap).max(2);
        let goal = (remaining + (chunks - 1) * overlap).div_ceil(chunks).clamp(1, most);
        let mut wanted = Wanted { start, from, done, end, goal, room: most };
        loop {
            let at = self.best_cut(cuts, &wanted);
            let piece = self.trimmed(start..at);
            let count = self.tokens.count(piece)?;
            if count <= most {
                return Ok(at);
            }
            // The piece begins or ends inside a word and has more tokens by itself than as a part.
            wanted.room = wanted.room.saturating_sub((count - most).max(wanted.room.div_ceil(8)));
            wanted.goal = wanted.goal.min(wanted.room).max(1);
            if wanted.room == 0 {
                return Ok(self.after_char(done.max(start)));
            }
        }
    }

    fn best_cut(&self, cuts: &[Cut], wanted: &Wanted) -> usize {
        let Wanted { start, from, done, end, goal, room } = *wanted;
        let last = self.text.floor_char_boundary((start + self.limits.bytes).min(end - 1));
        let last = last.min(self.tokens.start_of(from + room));
        let least = (goal / 2).max(self.limits.overlap + 1).min(goal);
        let first = self.tokens.start_of(from + least).max(done + 1);
        let distance = |at: usize| (self.tokens.before(at) - from).abs_diff(goal) as f32 / goal as f32;
        let mut best = Best::default();
        let within = cuts.partition_point(|cut| cut.at < first)..cuts.partition_point(|cut| cut.at <= last);
        for cut in cuts.get(within).unwrap_or_default() {
            best.consider(cut.at, cut.cost + distance(cut.at));
        }
        if first <= last && best.cost > cost::SENTENCE {
            for at in self.sentences(first - 1, last) {
                best.consider(at, cost::SENTENCE + distance(at));
            }
        }
        match best.at {
            Some(at) => at,
            None => self.word_cut(wanted, last).unwrap_or_else(|| last.max(self.after_char(done.max(start)))),
        }
    }

    /// The start of a word near the length aimed at; failing that, a place where the tokenizer begins anew.
    fn word_cut(&self, wanted: &Wanted, last: usize) -> Option<usize> {
        let Wanted { from, done, goal, room, .. } = *wanted;
        let nearest = (0..goal).rev().chain(goal..room).map(|more| self.tokens.start_of(from + more + 1));
        let mut second = None;
        for at in nearest.filter(|at| *at > done && *at <= last && self.text.is_char_boundary(*at)) {
            if self.text[..at].ends_with(char::is_whitespace) && self.tokens.may_cut(at) {
                return Some(at);
            }
            if second.is_none() && self.tokens.may_cut(at) {
                second = Some(at);
            }
        }
        second
    }

    /// Where the chunk behind a cut begins: some sentences, items or rows before it, as many as the overlap allows.
    fn overlap_start(&self, cuts: &[Cut], start: usize, at: usize) -> usize {
        let overlap = self.limits.overlap;
        let before = self.tokens.before(at);
        if overlap == 0 || before == 0 || !self.tokens.may_cut(at) {
            return at;
        }
        let earliest = self.text.ceil_char_boundary(at.saturating_sub(self.limits.bytes / 2));
        let earliest = self.tokens.start_of(before.saturating_sub(overlap)).max(earliest).max(start + 1);
        if earliest >= at {
            return at;
        }
        let structural =
            cuts[cuts.partition_point(|cut| cut.at < earliest)..].iter().map(|cut| cut.at).find(|cut| *cut < at);
        let sentence = self.sentences(earliest - 1, at - 1).into_iter().next();
        let best = match (structural, sentence) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let is_block_end = cuts.binary_search_by_key(&at, |cut| cut.at).is_ok_and(|index| cuts[index].between_blocks);
        best.or_else(|| {
            // A sentence longer than the overlap: its last words, but not across the end of a paragraph.
            let words = self.tokens.before(earliest)..before;
            let mut starts =
                words.filter(|_| !is_block_end && self.is_prose(at - 1)).map(|token| self.tokens.start_of(token));
            starts.find(|word| *word >= earliest && self.text[..*word].ends_with(char::is_whitespace))
        })
        .filter(|start| self.tokens.may_cut(*start))
        .unwrap_or(at)
    }

    /// Sentences of running text that begin behind `from` and not behind `to`.
    fn sentences(&self, from: usize, to: usize) -> Vec<usize> {
        let mut starts = sentence_starts(self.text, from, to);
        starts.retain(|at| self.is_prose(*at));
        starts
    }

    /// Whether a byte is inside running text, behind its start.
    fn is_prose(&self, at: usize) -> bool {
        let pieces = &self.outline.pieces;
        let index = pieces.partition_point(|piece| piece.range.start < at);
        let piece = index.checked_sub(1).and_then(|index| pieces.get(index));
        piece.is_some_and(|piece| {
            let is_running = matches!(piece.kind, BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote);
            is_running && at < piece.range.end
        })
    }

    /// Without the white space at its end.
    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        range.start..range.start + self.text[range].trim_end().len()
    }

    fn after_char(&self, at: usize) -> usize {
        self.text.ceil_char_boundary((at + 1).min(self.text.len()))
    }
}

/// The headings that two paths begin with.
fn shared<'p>(path: &'p [String], other: &[String]) -> &'p [String] {
    let same = path.iter().zip(other).take_while(|(a, b)| a == b).count();
    &path[..same]
}
