//! Rows of a region, and which of them are rows of a table.

use std::ops::Range;

use super::words::Segment;

/// Segments of a region that stand beside each other.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its segments from left to right, in [`Rows::order`].
    pub(super) segments: Range<usize>,
    /// Its cells, in [`Rows::cells`].
    pub(super) cells: Range<usize>,
    pub(super) top: f32,
    pub(super) bottom: f32,
    pub(super) baseline: f32,
    pub(super) size: f32,
    pub(super) u0: f32,
    pub(super) u1: f32,
    /// The table it belongs to, counted within the region.
    pub(super) table: Option<u32>,
}

/// Segments of a row with no wide gap between them.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) u0: f32,
    pub(super) u1: f32,
    /// In [`Rows::order`].
    pub(super) segments: Range<usize>,
}

/// The rows of a region, from top to bottom.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) cells: Vec<Cell>,
    pub(super) order: Vec<u32>,
}

/// What the first or a single cell of a row is, as far as rows need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A bullet or number before an item of a list.
    Marker,
    /// A currency sign before a number.
    Prefix,
    /// A percent sign or bracket after a number.
    Suffix,
    Text,
}

/// Gap between two cells, in sizes.
const CELL_GAP: f32 = 0.9;
/// Vertical overlap of what stands in one row, as a share of the lower of the two.
const IN_ROW: f32 = 0.5;

/// Finds the rows of a region. `mark` tells what a segment is.
pub(super) fn find(segments: &[Segment], ids: &[u32], mark: impl Fn(&Segment) -> Mark) -> Rows {
    let mut rows = Rows::default();
    let mut by_baseline = ids.to_vec();
    by_baseline.sort_by(|a, b| segments[*a as usize].baseline.total_cmp(&segments[*b as usize].baseline));
    let mut members: Vec<(u32, u32)> = Vec::with_capacity(ids.len());
    for id in by_baseline {
        let segment = &segments[id as usize];
        let row = rows.rows.iter().enumerate().rev().take(3).find(|(n, row)| {
            takes(row, segment)
                && !members
                    .iter()
                    .rev()
                    .take(64)
                    .any(|(row, other)| *row as usize == *n && covers(&segments[*other as usize], segment))
        });
        let n = match row {
            Some((n, _)) => {
                let row = &mut rows.rows[n];
                if segment.size * segment.width() > row.size * (row.u1 - row.u0) {
                    row.size = segment.size;
                    row.baseline = segment.baseline;
                }
                row.top = row.top.min(segment.top);
                row.bottom = row.bottom.max(segment.bottom);
                row.u0 = row.u0.min(segment.u0);
                row.u1 = row.u1.max(segment.u1);
                n
            }
            None => {
                rows.rows.push(Row {
                    segments: 0..0,
                    cells: 0..0,
                    top: segment.top,
                    bottom: segment.bottom,
                    baseline: segment.baseline,
                    size: segment.size,
                    u0: segment.u0,
                    u1: segment.u1,
                    table: None,
                });
                rows.rows.len() - 1
            }
        };
        members.push((u32::try_from(n).unwrap_or(u32::MAX), id));
    }
    members.sort_by(|a, b| a.0.cmp(&b.0).then(segments[a.1 as usize].u0.total_cmp(&segments[b.1 as usize].u0)));
    rows.order = members.iter().map(|(_, id)| *id).collect();
    let mut at = 0;
    for n in 0..rows.rows.len() {
        let start = at;
        while members.get(at).is_some_and(|(row, _)| *row as usize == n) {
            at += 1;
        }
        rows.rows[n].segments = start..at;
        rows.find_cells(n, segments, &mark);
    }
    rows.rows.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    rows.find_tables();
    rows
}

fn takes(row: &Row, segment: &Segment) -> bool {
    let overlap = row.bottom.min(segment.bottom) - row.top.max(segment.top);
    let lower = (row.bottom - row.top).min(segment.bottom - segment.top);
    overlap >= IN_ROW * lower && (row.baseline - segment.baseline).abs() <= 0.6 * row.size.max(segment.size)
}

/// Whether one stands over the other: then they are two rows, however close.
fn covers(a: &Segment, b: &Segment) -> bool {
    let overlap = a.u1.min(b.u1) - a.u0.max(b.u0);
    overlap > 0.4 * a.width().min(b.width()) && overlap > 0.4 * a.size.min(b.size)
}

impl Rows {
    fn find_cells(&mut self, n: usize, segments: &[Segment], mark: &impl Fn(&Segment) -> Mark) {
        let row = self.rows[n].clone();
        let first = self.cells.len();
        let mut before = Mark::Text;
        for at in row.segments {
            let segment = &segments[self.order[at] as usize];
            let this = mark(segment);
            let leads = self.cells.len() == first;
            match self.cells[first..].last_mut() {
                Some(cell)
                    if segment.u0 - cell.u1 <= CELL_GAP * row.size
                        || before == Mark::Prefix
                        || (before == Mark::Marker && cell.segments.len() == 1)
                        || (this == Mark::Suffix && segment.u0 - cell.u1 <= 2.0 * row.size) =>
                {
                    cell.u1 = cell.u1.max(segment.u1);
                    cell.segments.end = at + 1;
                }
                _ => self.cells.push(Cell { u0: segment.u0, u1: segment.u1, segments: at..at + 1 }),
            }
            before = match this {
                Mark::Marker if !leads => Mark::Text,
                other => other,
            };
        }
        self.rows[n].cells = first..self.cells.len();
    }

    fn find_tables(&mut self) {
        const GAP: f32 = 2.5;
        const SINGLE_ROWS: usize = 2;
        let mut tables = 0;
        let mut start = 0;
        while start < self.rows.len() {
            if self.rows[start].cells.len() < 2 {
                start += 1;
                continue;
            }
            let mut with_cells = vec![start];
            let mut last = start;
            for at in start + 1..self.rows.len() {
                let row = &self.rows[at];
                let above = &self.rows[at - 1];
                if row.top - above.bottom > GAP * row.size.max(above.size) || at - last > SINGLE_ROWS + 1 {
                    break;
                }
                if row.cells.len() >= 2 {
                    if !with_cells.iter().rev().take(4).any(|other| self.lines_up(*other, at)) {
                        break;
                    }
                    with_cells.push(at);
                    last = at;
                }
            }
            let wide = with_cells.iter().filter(|at| self.rows[**at].cells.len() >= 3).count();
            if with_cells.len() >= 3 || wide >= 2 {
                self.rows[start..=last].iter_mut().for_each(|row| row.table = Some(tables));
                tables += 1;
            }
            start = last + 1;
        }
    }

    /// Whether cells of the two rows stand over each other as in a table.
    fn lines_up(&self, a: usize, b: usize) -> bool {
        let tolerance = 0.4 * self.rows[a].size.max(self.rows[b].size);
        let (a, b) = (&self.cells[self.rows[a].cells.clone()], &self.cells[self.rows[b].cells.clone()]);
        let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        let matches = |cell: &Cell| {
            many.iter().any(|other| {
                (cell.u0 - other.u0).abs() <= tolerance
                    || (cell.u1 - other.u1).abs() <= tolerance
                    || (cell.u0 + cell.u1 - other.u0 - other.u1).abs() <= 2.0 * tolerance
            })
        };
        let beside_first = few[1..].iter().filter(|cell| matches(cell)).count();
        beside_first >= 1 && 2 * (beside_first + usize::from(matches(&few[0]))) >= few.len()
    }
}
