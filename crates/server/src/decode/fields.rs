//! Rules that many messages share.

use std::str::FromStr;

use uuid::Uuid;
use vectrion_core::{Error, Result, page::PageRequest, time::Timestamp};

/// Bytes of a page token at the most; ours are far shorter.
const MAX_TOKEN_BYTES: usize = 4096;

/// An id, which is a UUID.
pub(crate) fn id<T: FromStr<Err = Error>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid_field(field, "must be a UUID"))
}

/// The caller's name for a call; none if it is empty.
pub(crate) fn request_id(text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() {
        return Ok(None);
    }
    Uuid::try_parse(text).map(Some).map_err(|_| Error::invalid_field("request_id", "must be a UUID, or empty"))
}

/// A page of a list: no size means the default, a too large one the largest.
pub(crate) fn page(size: i32, token: String) -> Result<PageRequest> {
    let size = match u32::try_from(size) {
        Ok(0) => PageRequest::DEFAULT_SIZE,
        Ok(size) => size.min(PageRequest::MAX_SIZE),
        Err(_) => return Err(Error::invalid_field("page_size", "must not be negative")),
    };
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::invalid_field("page_token", "must be the next_page_token of the page before"));
    }
    Ok(PageRequest { size, token: (!token.is_empty()).then_some(token) })
}

/// A number that is not negative.
pub(crate) fn count(field: &str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::invalid_field(field, "must not be negative"))
}

/// A SHA-256 in hex of either case; none if it is empty.
pub(crate) fn sha256(field: &str, text: &str) -> Result<Option<[u8; 32]>> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| Error::invalid_field(field, "must be a SHA-256 as 64 hex digits, or empty"))?;
    Ok(Some(hash))
}

/// A point in time, to the millisecond.
pub(super) fn timestamp(field: &str, time: &prost_types::Timestamp) -> Result<Timestamp> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis =
        time.seconds.checked_mul(1000).zip(nanos).and_then(|(ms, nanos)| ms.checked_add(i64::from(nanos / 1_000_000)));
    // The bounds of google.protobuf.Timestamp: years 1 to 9999.
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&time.seconds);
    millis
        .filter(|_| in_range)
        .map(Timestamp)
        .ok_or_else(|| Error::invalid_field(field, "must be a time between the years 1 and 9999"))
}

/// The same error about a field of a message that stands within another one.
pub(super) fn within(parent: &str, error: Error) -> Error {
    let path = |field: &str| format!("{parent}.{field}");
    let Some(first) = error.violations().first() else { return error };
    let mut moved = Error::invalid_field(path(&first.field), first.description.clone());
    for violation in &error.violations()[1..] {
        moved = moved.with_violation(path(&violation.field), violation.description.clone());
    }
    moved
}

/// A list with an upper bound.
pub(super) fn at_most<T>(field: &str, list: Vec<T>, most: usize) -> Result<Vec<T>> {
    if list.len() > most {
        return Err(Error::invalid_field(field, format!("has at most {most} values")));
    }
    Ok(list)
}

#[cfg(test)]
pub(super) mod tests {
    use vectrion_core::{ErrorKind, ids::DocumentId};

    use super::*;

    /// The field that a decoder complains about.
    pub(in crate::decode) fn field<T: std::fmt::Debug>(decoded: Result<T>) -> String {
        let error = decoded.expect_err("breaks a rule");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(!error.violations()[0].description.is_empty());
        error.violations()[0].field.clone()
    }

    #[test]
    fn ids_are_uuids() {
        assert!(id::<DocumentId>("document_id", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11").is_ok());
        for bad in ["", "no-such-document", "a0eebc99"] {
            assert_eq!(field(id::<DocumentId>("document_id", bad)), "document_id");
        }
    }

    #[test]
    fn request_ids_are_uuids_or_empty() {
        assert_eq!(request_id("").expect("none"), None);
        assert!(request_id("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").expect("one").is_some());
        assert_eq!(field(request_id("1")), "request_id");
    }

    #[test]
    fn page_sizes_are_coerced_and_negative_ones_refused() {
        for (size, coerced) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
            assert_eq!(page(size, String::new()).expect("fine"), PageRequest { size: coerced, token: None });
        }
        assert_eq!(page(5, "abc".into()).expect("fine").token.as_deref(), Some("abc"));
        assert_eq!(field(page(-1, String::new())), "page_size");
        assert_eq!(field(page(1, "x".repeat(5000))), "page_token");
    }

    #[test]
    fn hashes_are_64_hex_digits_of_either_case() {
        let digits = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        let hash = sha256("sha256", digits).expect("fine").expect("one");
        assert_eq!(sha256("sha256", &digits.to_lowercase()).expect("fine"), Some(hash));
        assert_eq!(hash[0], 0xe3);
        assert_eq!(sha256("sha256", "").expect("fine"), None);
        for bad in ["e3", "zz", &digits[1..], &format!("{digits}0")] {
            assert_eq!(field(sha256("header.sha256", bad)), "header.sha256");
        }
    }

    #[test]
    fn times_are_within_their_bounds() {
        let time = |seconds, nanos| timestamp("expire_time", &prost_types::Timestamp { seconds, nanos });
        assert_eq!(time(1, 999_999_999).expect("fine"), Timestamp(1999));
        assert_eq!(time(-1, 500_000_000).expect("fine"), Timestamp(-500));
        for (seconds, nanos) in [(1, -1), (1, 1_000_000_000), (i64::MAX, 0), (253_402_300_800, 0)] {
            assert_eq!(field(time(seconds, nanos)), "expire_time");
        }
    }

    #[test]
    fn a_field_within_a_message_is_named_by_its_path() {
        let error = Error::invalid_field("filename", "bad").with_violation("sha256", "worse");
        let moved = within("header", error);
        let fields: Vec<_> = moved.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["header.filename", "header.sha256"]);
        assert!(moved.message().starts_with("header.filename"));
    }
}
