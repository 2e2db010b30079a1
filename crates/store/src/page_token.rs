//! Tokens of pages: where a list goes on.

use std::fmt::Debug;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use vectrion_core::{
    Error, Result,
    page::{Page, PageRequest},
};

/// A list as a caller asked for it: which one, of whom, by which filter and in which order. Its tokens fit no other.
pub(crate) struct List {
    fingerprint: [u8; 8],
}

impl List {
    /// `name` says which list it is, `scope` all that decides its rows and their order.
    pub(crate) fn new(name: &str, scope: impl Debug) -> Self {
        let digest = Sha256::digest(format!("{name} {scope:?}"));
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&digest[..8]);
        Self { fingerprint }
    }

    /// The key of the last row of the page before; none for the first page.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_PAGE_TOKEN`, if it is no token of this list.
    pub(crate) fn after<K: DeserializeOwned>(&self, page: &PageRequest) -> Result<Option<K>> {
        let Some(token) = page.token.as_deref() else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| invalid().with_source(error))?;
        let key = bytes.strip_prefix(&self.fingerprint).ok_or_else(invalid)?;
        serde_json::from_slice(key).map(Some).map_err(|error| invalid().with_source(error))
    }

    /// A page of `rows`, which are one more than asked for if there is a further page.
    pub(crate) fn page<R, K: Serialize>(
        &self,
        mut rows: Vec<R>,
        page: &PageRequest,
        key: impl Fn(&R) -> K,
    ) -> Result<Page<R>> {
        let size = size(page);
        if rows.len() <= size {
            return Ok(Page { items: rows, next: None });
        }
        rows.truncate(size);
        let next = rows.last().map(|row| self.token(&key(row))).transpose()?;
        Ok(Page { items: rows, next })
    }

    fn token<K: Serialize>(&self, key: &K) -> Result<String> {
        let mut bytes = self.fingerprint.to_vec();
        serde_json::to_writer(&mut bytes, key).map_err(|error| {
            Error::internal("PAGE_TOKEN_UNWRITABLE", "the token of the next page cannot be written").with_source(error)
        })?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Rows of the page at the most.
pub(crate) fn size(page: &PageRequest) -> usize {
    page.size.clamp(1, PageRequest::MAX_SIZE) as usize
}

/// Rows to ask the database for: one more than the page holds, to see whether there is a further page.
pub(crate) fn limit(page: &PageRequest) -> i64 {
    i64::from(page.size.clamp(1, PageRequest::MAX_SIZE)) + 1
}

fn invalid() -> Error {
    Error::invalid(
        "INVALID_PAGE_TOKEN",
        "the page token is not one of this list; use `next_page_token` of the page before, with the same filter and order",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_its_own_list_only() {
        let list = List::new("documents", ("tenant-a", "create_time"));
        let page = list.page(vec![1, 2, 3], &PageRequest { size: 2, token: None }, |row| *row).expect("a page");
        assert_eq!(page.items, [1, 2]);
        let next = PageRequest { size: 2, token: page.next };
        assert_eq!(list.after::<i32>(&next).expect("its token"), Some(2));

        for other in
            [List::new("documents", ("tenant-b", "create_time")), List::new("jobs", ("tenant-a", "create_time"))]
        {
            assert_eq!(other.after::<i32>(&next).expect_err("another list").reason(), "INVALID_PAGE_TOKEN");
        }
        for forged in ["", "x", "!!!", "AAAAAAAAAAAAAAAA"] {
            let page = PageRequest { size: 2, token: Some(forged.into()) };
            assert_eq!(list.after::<i32>(&page).expect_err("no token").reason(), "INVALID_PAGE_TOKEN");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let list = List::new("documents", ());
        let page = list.page(vec![1, 2], &PageRequest { size: 2, token: None }, |row| *row).expect("a page");
        assert_eq!(page.next, None);
    }
}
