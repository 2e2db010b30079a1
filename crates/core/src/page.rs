//! Pages of a long list.

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at the most; between 1 and [`PageRequest::MAX_SIZE`].
    pub size: u32,
    /// `next` of the page before; none for the first page. Opaque: only the adapter that made it reads it. A token of
    /// another list, filter or order is `INVALID_ARGUMENT`, reason `INVALID_PAGE_TOKEN`.
    pub token: Option<String>,
}

impl PageRequest {
    /// Rows of a page when the caller names no number.
    pub const DEFAULT_SIZE: u32 = 50;
    /// Rows of a page at the most; a larger number is lowered to it.
    pub const MAX_SIZE: u32 = 1000;

    /// The first page of the default size.
    #[must_use]
    pub fn first() -> Self {
        Self { size: Self::DEFAULT_SIZE, token: None }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Token of the next page; none on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page with each row turned into another type.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
