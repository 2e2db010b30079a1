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
    rows.join_justified();
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
    overlap > 0.7 * a.width().min(b.width()) && overlap > 0.4 * a.size.min(b.size)
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

    /// Makes one cell of each row whose gaps are only the wide spaces of justified text.
    fn join_justified(&mut self) {
        const GAP: f32 = 2.0;
        const FULL: f32 = 0.75;
        const NARROWEST: f32 = 12.0;
        let u0 = self.rows.iter().map(|row| row.u0).fold(f32::MAX, f32::min);
        let u1 = self.rows.iter().map(|row| row.u1).fold(f32::MIN, f32::max);
        for row in &mut self.rows {
            let cells = &mut self.cells[row.cells.clone()];
            let ink: f32 = cells.iter().map(|cell| cell.u1 - cell.u0).sum();
            let spaces = cells.windows(2).all(|pair| pair[1].u0 - pair[0].u1 < GAP * row.size);
            let wide = u1 - u0 >= NARROWEST * row.size;
            if cells.len() >= 2 && cells.len() <= 4 && wide && spaces && ink >= FULL * (u1 - u0) {
                cells[0].u1 = cells[cells.len() - 1].u1;
                cells[0].segments.end = cells[cells.len() - 1].segments.end;
                row.cells.end = row.cells.start + 1;
            }
        }
    }

    fn find_tables(&mut self) {
        let mut joined: Vec<Option<bool>> = vec![None; self.rows.len()];
        let mut start = 0;
        while start < self.rows.len() {
            let end = self.table_from(start);
            if end > start {
                joined[start] = Some(false);
                joined[start + 1..end].fill(Some(true));
            }
            start = end.max(start + 1);
        }
        self.widen_tables(&mut joined);
        let mut tables = 0;
        for (row, joined) in self.rows.iter_mut().zip(joined) {
            if let Some(joined) = joined {
                tables += u32::from(!joined);
                row.table = Some(tables.saturating_sub(1));
            }
        }
    }

    /// The end of the table whose first row this is; the row itself if it is none.
    fn table_from(&self, start: usize) -> usize {
        const GAP: f32 = 2.5;
        const SINGLE_GAP: f32 = 0.8;
        const SINGLE_ROWS: usize = 2;
        let count = self.rows[start].cells.len();
        if count < 2 {
            return start;
        }
        let mut with_cells = vec![start];
        let mut last = start;
        for at in start + 1..self.rows.len() {
            let row = &self.rows[at];
            let above = &self.rows[at - 1];
            let reach = if row.cells.len() >= 2 { GAP } else { SINGLE_GAP };
            if row.top - above.bottom > reach * row.size.max(above.size) || at - last > SINGLE_ROWS + 1 {
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
        if with_cells.len() >= 3 || wide >= 2 || (count >= 3 && self.is_spread(start)) { last + 1 } else { start }
    }

    /// Whether the cells of a row stand so far apart that it is a row of a table even by itself.
    fn is_spread(&self, row: usize) -> bool {
        const GAP: f32 = 2.0;
        let row = &self.rows[row];
        self.cells[row.cells.clone()].windows(2).all(|pair| pair[1].u0 - pair[0].u1 >= GAP * row.size)
    }

    /// Takes in rows at the edge of a table that look like its own: other rows of cells, such as its head, and the second
    /// line of a cell that is not the first of its row.
    fn widen_tables(&self, joined: &mut [Option<bool>]) {
        const GAP: f32 = 1.5;
        for at in 1..self.rows.len() {
            let (above, row) = (&self.rows[at - 1], &self.rows[at]);
            let gap = (row.top - above.bottom) / row.size.max(above.size);
            let (cells_above, cells) = (above.cells.len(), row.cells.len());
            match (joined[at - 1], joined[at]) {
                (Some(_), Some(false)) if gap <= GAP => joined[at] = Some(true),
                (Some(_), None) if cells >= 2 && gap <= GAP => joined[at] = Some(true),
                (None, Some(false)) if cells_above >= 2 && gap <= GAP => {
                    joined[at - 1] = Some(false);
                    joined[at] = Some(true);
                }
                (Some(_), None) if gap <= 0.5 && cells == 1 => {
                    let u0 = self.cells[row.cells.start].u0;
                    let others = self.rows[..at].iter().rev().take(6).filter(|row| row.cells.len() >= 2);
                    let under = others
                        .flat_map(|row| &self.cells[row.cells.start + 1..row.cells.end])
                        .any(|cell| (cell.u0 - u0).abs() <= 0.4 * row.size);
                    joined[at] = under.then_some(true);
                }
                _ => {}
            }
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
