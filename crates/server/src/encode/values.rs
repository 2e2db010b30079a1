//! Numbers, times, pages.

use vectrion::v1;
use vectrion_core::{chunk::PageBox, page::Page, time::Timestamp};

/// A count as a 32-bit number of the contract, which has no unsigned ones.
pub(super) fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A count as a 32-bit number.
pub(super) fn small(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A count or a number of bytes as a 64-bit number.
pub(crate) fn size(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A point in time.
pub(crate) fn time(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.0.div_euclid(1000), nanos }
}

/// The rows of a page, and the token of the next one.
pub(crate) fn page<T, M>(page: Page<T>, encode: impl FnMut(T) -> M) -> (Vec<M>, String) {
    (page.items.into_iter().map(encode).collect(), page.next.unwrap_or_default())
}

pub(super) fn boxes(boxes: Vec<PageBox>) -> Vec<v1::Box> {
    boxes
        .into_iter()
        .map(|PageBox { page, rect }| v1::Box {
            page: number(page),
            x0: rect.x0,
            y0: rect.y0,
            x1: rect.x1,
            y1: rect.y1,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_have_positive_nanos() {
        for (millis, seconds, nanos) in
            [(0, 0, 0), (1_234, 1, 234_000_000), (-1, -1, 999_000_000), (-2_500, -3, 500_000_000)]
        {
            assert_eq!(time(Timestamp(millis)), prost_types::Timestamp { seconds, nanos });
        }
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        assert_eq!((number(u32::MAX), small(1 << 40), size(u64::MAX)), (i32::MAX, i32::MAX, i64::MAX));
    }
}
