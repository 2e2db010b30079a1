//! Named points at which a test build stops, fails or dies. Without the feature `failpoints` they are not compiled in.
//!
//! The variable `FAILPOINTS` (read by [`arm`]) says what happens where, such as
//! `embed::upserted=1*off->return`: at the second time the process ends as by SIGKILL, nothing is written or unwound.
//! `return(transient)` and `return(permanent)` fail the step instead, `pause` holds it.

use vectrion_core::{Error, Result};

/// Every point, in the order in which a document meets them.
pub const FAILPOINTS: &[&str] = &[
    // An upload: its row is written; its bytes are stored; its parts are removed; it is a document.
    "upload::begun",
    "upload::stored",
    "upload::parts_removed",
    "upload::admitted",
    // `process_document`: the job is claimed; the bytes are copied and checked; the text is read; it is cut into chunks;
    // it is stored; pages and chunks are committed.
    "process::begun",
    "process::fetched",
    "process::extracted",
    "process::chunked",
    "process::text_stored",
    "process::committed",
    // `embed_document`: the job is claimed; a batch is embedded; it is in the index; the index is flushed; the version is
    // indexed.
    "embed::begun",
    "embed::embedded",
    "embed::upserted",
    "embed::flushed",
    "embed::committed",
    // `delete_document`: the job is claimed; the points are removed; durably; the objects are removed; the rows are gone.
    "delete::begun",
    "delete::vectors_removed",
    "delete::flushed",
    "delete::objects_removed",
    "delete::committed",
];

/// Reads the variable `FAILPOINTS`; a `main` calls it once. Returns whether this build has the points; without them it
/// does nothing.
pub fn arm() -> bool {
    if fail::has_failpoints() {
        // Dropping the scenario would disarm the points: they are armed for as long as the process lives.
        std::mem::forget(fail::FailScenario::setup());
    }
    fail::has_failpoints()
}

/// What `return` does at a point.
///
/// # Errors
/// `UNAVAILABLE` or `FAILED_PRECONDITION` with reason `FAULT_INJECTED`, for `transient` and `permanent`. Otherwise it does
/// not return.
pub fn strike<T>(what: Option<&str>) -> Result<T> {
    match what {
        Some("transient") => Err(Error::unavailable("FAULT_INJECTED", "a test made this step fail for now")),
        Some("permanent") => Err(Error::precondition("FAULT_INJECTED", "a test made this step fail for good")),
        _ => std::process::abort(),
    }
}

/// A step that is named in [`FAILPOINTS`]; only in functions and blocks that return a [`Result`].
macro_rules! step {
    ($name:literal) => {
        fail::fail_point!($name, |what: Option<String>| $crate::faults::strike(what.as_deref()))
    };
}
pub(crate) use step;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_step_of_the_sources() {
        let mut found = std::collections::BTreeSet::new();
        let mut directories = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("the sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else if !path.ends_with("faults.rs") {
                    let text = std::fs::read_to_string(&path).expect("a source");
                    let mut rest = text.as_str();
                    while let Some(at) = rest.find("step!(\"") {
                        rest = &rest[at + 7..];
                        found.insert(rest[..rest.find('"').expect("a closed literal")].to_owned());
                    }
                }
            }
        }
        let listed = FAILPOINTS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn injected_errors_are_of_their_kind() {
        assert!(strike::<()>(Some("transient")).expect_err("an error").is_transient());
        assert!(!strike::<()>(Some("permanent")).expect_err("an error").is_transient());
    }
}
