//! What a killed process left half written.

use std::{fs, io, path::Path};

use walkdir::WalkDir;

/// Removes every staged file and every empty directory under `root`, and returns how many files there were.
pub(super) fn remove(root: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in WalkDir::new(root).min_depth(1).contents_first(true) {
        let entry = entry.map_err(io::Error::from)?;
        if entry.file_type().is_dir() {
            // Fails for a directory that is not empty, which is the usual case and meant to stay.
            let _ = fs::remove_dir(entry.path());
        } else if entry.file_name().to_str().is_some_and(is_staged) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the staged files of one object.
pub(super) fn remove_of(object: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) = (object.parent(), object.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let staged = entry.file_name();
        if staged.to_str().is_some_and(|staged| is_staged(staged) && staged.starts_with(&format!("{name}#"))) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the directories from `directory` upwards, below `root`, that are empty.
pub(super) fn remove_empty_directories(directory: &Path, root: &Path) {
    let mut next = Some(directory);
    while let Some(directory) = next.filter(|directory| *directory != root && directory.starts_with(root)) {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => next = directory.parent(),
        }
    }
}

/// Whether a file is one that an object is written to before it gets its name: `<name>#<number>`.
pub(super) fn is_staged(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_files_and_empty_directories_go_and_objects_stay() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/b/original", "a/b/original#1", "a/c/original#12", "a/d/e/f/original#3"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(remove(dir.path()).unwrap(), 3);
        let left: Vec<_> =
            WalkDir::new(dir.path()).min_depth(1).into_iter().map(|entry| entry.unwrap().into_path()).collect();
        assert_eq!(left, ["a", "a/b", "a/b/original"].map(|path| dir.path().join(path)));
        assert_eq!(remove(dir.path()).unwrap(), 0);
    }
}
