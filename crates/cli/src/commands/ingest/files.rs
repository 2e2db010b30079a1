//! Which files are uploaded.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use crate::failure::Failure;

/// Endings of files that are taken from folders.
const SUFFIXES: [&str; 8] = ["pdf", "txt", "text", "md", "markdown", "html", "htm", "xhtml"];

pub(super) struct Found {
    /// In the order of the command line; folders in order of name.
    pub(super) files: Vec<PathBuf>,
    /// Files in folders that were passed over.
    pub(super) skipped: usize,
}

/// A file named on the line is always taken; a folder gives its files that are not hidden and have a known ending.
pub(super) fn find(paths: &[PathBuf]) -> Result<Found, Failure> {
    let mut found = Found { files: Vec::new(), skipped: 0 };
    for path in paths {
        let facts = std::fs::metadata(path)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
        if facts.is_dir() {
            walk(path, &mut found)?;
        } else {
            found.files.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Found) -> Result<(), Failure> {
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry =
            entry.map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot walk the folder")))?;
        let hidden = entry.depth() > 0 && is_hidden(entry.file_name());
        if entry.file_type().is_dir() {
            if hidden {
                entries.skip_current_dir();
            }
            continue;
        }
        let known = entry
            .path()
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|suffix| SUFFIXES.contains(&suffix.to_ascii_lowercase().as_str()));
        if entry.file_type().is_file() && known && !hidden {
            found.files.push(entry.into_path());
        } else {
            found.skipped += 1;
        }
    }
    Ok(())
}
