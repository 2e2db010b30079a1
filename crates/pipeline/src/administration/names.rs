//! Names of tenants and collections.

use vectrion_core::{Error, Result, ids::TenantId};

/// Bytes of a name at the most.
const MAX_BYTES: usize = 128;
/// Bytes of a description at the most.
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// Checks a name: 1 to 128 bytes, letters, digits, `-`, `_` and `.`, and not a UUID, which would be taken for an id.
pub(super) fn check(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_BYTES || !name.chars().all(allowed) {
        return Err(Error::invalid_field(
            "name",
            format!("has 1 to {MAX_BYTES} bytes: letters, digits, `-`, `_` and `.`"),
        ));
    }
    if name.parse::<TenantId>().is_ok() {
        return Err(Error::invalid_field("name", "is not a UUID, which would be taken for an id"));
    }
    Ok(())
}

/// Checks a description: at most 1024 bytes, no control characters but tab and line ends.
pub(super) fn check_description(description: &str) -> Result<()> {
    let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if description.len() > MAX_DESCRIPTION_BYTES || description.chars().any(bad) {
        return Err(Error::invalid_field(
            "description",
            format!("has at most {MAX_DESCRIPTION_BYTES} bytes and no control characters"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for name in ["default", "A", "a.b-c_9", "Verträge", &"x".repeat(128)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in
            ["", "a b", "a/b", "a\n", "é\u{301}", &"x".repeat(129), "0190f5e0-0000-7000-8000-000000000000", "\u{200B}"]
        {
            assert_eq!(check(name).expect_err("refused").reason(), "INVALID_FIELD", "{name:?}");
        }
    }

    #[test]
    fn descriptions_follow_the_rule() {
        assert!(check_description("").is_ok());
        assert!(check_description("two\nlines, with a tab\t").is_ok());
        assert!(check_description("bell \u{7}").is_err());
        assert!(check_description(&"x".repeat(1025)).is_err());
    }
}
