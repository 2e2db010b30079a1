//! Columns: the regions of a page, in the order in which a person reads them.
//!
//! A region is cut where a gutter runs: a white strip with text on both sides over several lines, right of which lines start
//! at one place. What stands above the gutter is read first, then the left side, the right side, and what stands below;
//! each of these may be cut again. A strip between the columns of a table is not a gutter: there the text on both sides
//! is thin, and stands on common baselines.

use super::words::Segment;

/// Segments beyond which a page is read as it is drawn.
const MAX_SEGMENTS: usize = 6000;
/// How often a region is cut at the most.
const MAX_DEPTH: u32 = 12;
/// Narrowest gutter, in sizes.
const GUTTER: f32 = 0.7;
/// Lines that start at one place right of a gutter, at the least.
const LINES: usize = 3;

/// Indexes of the segments of each region, in reading order. The segments of a region are in no order.
pub(super) fn regions(segments: &[Segment]) -> Vec<Vec<u32>> {
    let mut all: Vec<u32> = (0..u32::try_from(segments.len()).unwrap_or(u32::MAX)).collect();
    if segments.len() > MAX_SEGMENTS {
        return vec![all];
    }
    all.sort_by(|a, b| segments[*a as usize].middle().total_cmp(&segments[*b as usize].middle()));
    let rtl = segments.iter().filter(|segment| segment.rtl).count() * 2 > segments.len();
    let mut cutter = Cutter { segments, rtl, regions: Vec::new(), starts: Vec::new() };
    cutter.cut(all, MAX_DEPTH);
    cutter.regions
}

struct Cutter<'a> {
    segments: &'a [Segment],
    rtl: bool,
    regions: Vec<Vec<u32>>,
    starts: Vec<(f32, u32)>,
}

/// A gutter: the strip ends on the right at `x`, and runs past the segments `from..to` of the region's list.
struct Gutter {
    x: f32,
    from: usize,
    to: usize,
    score: f32,
}

/// What stands on one side of a strip.
#[derive(Clone, Copy)]
struct Side {
    u0: f32,
    u1: f32,
    top: f32,
    bottom: f32,
    count: usize,
}

impl Side {
    const EMPTY: Self = Self { u0: f32::MAX, u1: f32::MIN, top: f32::MAX, bottom: f32::MIN, count: 0 };

    fn add(&mut self, segment: &Segment) {
        self.u0 = self.u0.min(segment.u0);
        self.u1 = self.u1.max(segment.u1);
        self.top = self.top.min(segment.top);
        self.bottom = self.bottom.max(segment.bottom);
        self.count += 1;
    }
}

impl Cutter<'_> {
    fn segment(&self, id: u32) -> &Segment {
        &self.segments[id as usize]
    }

    /// `ids` are sorted from top to bottom.
    fn cut(&mut self, ids: Vec<u32>, depth: u32) {
        let gutter = if depth > 0 && ids.len() >= 2 * LINES { self.best_gutter(&ids) } else { None };
        let Some(gutter) = gutter else {
            if !ids.is_empty() {
                self.regions.push(ids);
            }
            return;
        };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for id in &ids[gutter.from..gutter.to] {
            let segment = self.segment(*id);
            if segment.u0 + segment.u1 < 2.0 * gutter.x && segment.u0 < gutter.x - 1.0 {
                &mut left
            } else {
                &mut right
            }
            .push(*id);
        }
        let mut above = ids[..gutter.from].to_vec();
        let below = ids[gutter.to..].to_vec();
        self.lift(&left, &mut right, &mut above);
        let (first, second) = if self.rtl { (right, left) } else { (left, right) };
        for part in [above, first, second, below] {
            self.cut(part, depth - 1);
        }
    }

    /// Moves what stands on the right, higher than anything on the left and apart from the rest, to what is read before the
    /// columns: a date beside a title, say.
    fn lift(&self, left: &[u32], right: &mut Vec<u32>, above: &mut Vec<u32>) {
        let top = left.iter().map(|id| self.segment(*id).top).fold(f32::MAX, f32::min);
        let high = right.iter().take_while(|id| self.segment(**id).bottom <= top).count();
        if high == 0 || high == right.len() {
            return;
        }
        let last = self.segment(right[high - 1]);
        if self.segment(right[high]).top - last.bottom > 0.8 * last.size {
            above.extend(right.drain(..high));
        }
    }

    fn best_gutter(&mut self, ids: &[u32]) -> Option<Gutter> {
        let mut starts = std::mem::take(&mut self.starts);
        starts.clear();
        starts.extend(ids.iter().map(|id| (self.segment(*id).u0, *id)));
        starts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best: Option<Gutter> = None;
        let mut n = 0;
        while n < starts.len() {
            let (x, id) = starts[n];
            let reach = x + 0.4 * self.segment(id).size.clamp(4.0, 20.0);
            let cluster = starts[n..].iter().take_while(|(start, _)| *start <= reach).count();
            // Nothing can stand left of the leftmost start.
            if cluster >= LINES && n > 0 {
                self.strips_before(x, ids, &mut best);
            }
            n += cluster;
        }
        self.starts = starts;
        best
    }

    /// Looks at the strip that ends at `x`, between the segments that cross it.
    fn strips_before(&self, x: f32, ids: &[u32], best: &mut Option<Gutter>) {
        let (mut left, mut right) = (Side::EMPTY, Side::EMPTY);
        let mut from = 0;
        for at in 0..=ids.len() {
            let crossing = ids.get(at).is_none_or(|id| {
                let segment = self.segment(*id);
                if segment.u0 >= x - 1.0 {
                    right.add(segment);
                    false
                } else if segment.u1 <= x - GUTTER * segment.size.min(14.0) {
                    left.add(segment);
                    false
                } else {
                    true
                }
            });
            if !crossing {
                continue;
            }
            let score = left.bottom.min(right.bottom) - left.top.max(right.top);
            if left.count >= 2
                && right.count >= LINES
                && best.as_ref().is_none_or(|best| score > best.score)
                && self.separates(x, &ids[from..at], &left, &right, score)
            {
                *best = Some(Gutter { x, from, to: at, score });
            }
            (left, right) = (Side::EMPTY, Side::EMPTY);
            from = at + 1;
        }
    }

    /// Whether the strip stands between columns of text, and not within a table or behind bullets.
    fn separates(&self, x: f32, ids: &[u32], left: &Side, right: &Side, shared: f32) -> bool {
        let size = median(ids.iter().map(|id| self.segment(*id).size).collect());
        let (left_width, right_width) = (left.u1 - left.u0, right.u1 - right.u0);
        if shared < 2.5 * size || left_width.min(right_width) < 5.0 * size {
            return false;
        }
        // Comments beside lines of code.
        let code = ids.iter().filter(|id| self.segment(**id).fixed_pitch).count();
        if code * 10 > ids.len() * 8 && self.aligned(x, ids, size) > 0.8 {
            return false;
        }
        let coverage = |of_left: bool, width: f32| {
            let mut rows: Vec<f32> = Vec::new();
            let mut baseline = f32::MIN;
            for id in ids {
                let segment = self.segment(*id);
                if (segment.u0 < x - 1.0) != of_left {
                    continue;
                }
                match rows.last_mut() {
                    Some(row) if (segment.baseline - baseline).abs() < 0.4 * size => *row += segment.width() / width,
                    _ => {
                        rows.push(segment.width() / width);
                        baseline = segment.baseline;
                    }
                }
            }
            (median(rows.clone()), rows.len())
        };
        let (left_coverage, _) = coverage(true, left_width);
        let (right_coverage, _) = coverage(false, right_width);
        if left_coverage >= 0.6 && right_coverage >= 0.6 && left_width.min(right_width) >= 7.0 * size {
            return true;
        }
        left_coverage >= 0.35 && right_coverage >= 0.35 && self.aligned(x, ids, size) < 0.5
    }

    /// Share of the lines on the thinner side that stand on a baseline of the other side.
    fn aligned(&self, x: f32, ids: &[u32], size: f32) -> f32 {
        let mut baselines: [Vec<f32>; 2] = [Vec::new(), Vec::new()];
        for id in ids {
            let segment = self.segment(*id);
            baselines[usize::from(segment.u0 >= x - 1.0)].push(segment.baseline);
        }
        for side in &mut baselines {
            side.sort_by(f32::total_cmp);
            side.dedup_by(|a, b| (*a - *b).abs() < 0.2 * size);
        }
        let [left, right] = &baselines;
        let (few, many) = if left.len() <= right.len() { (left, right) } else { (right, left) };
        let matched = few
            .iter()
            .filter(|baseline| {
                let at = many.partition_point(|other| *other < **baseline - 0.15 * size);
                many.get(at).is_some_and(|other| (*other - **baseline).abs() <= 0.15 * size)
            })
            .count();
        matched as f32 / few.len().max(1) as f32
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
