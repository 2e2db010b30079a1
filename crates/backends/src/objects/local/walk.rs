//! The objects in order, some at a time.

use std::{fs, io, path::Path};

use vectrion_core::ports::objects::{ObjectInfo, ObjectKey};

use super::leftovers::is_staged;

/// What a page is to hold.
pub(super) struct Wanted<'a> {
    /// Keys begin with this.
    pub(super) prefix: &'a str,
    /// And come after this.
    pub(super) after: Option<&'a str>,
    /// So many at the most.
    pub(super) limit: usize,
}

/// The objects below `directory`, whose key is `key`, in key order. Reads no directory all of whose keys come before.
pub(super) fn page(directory: &Path, key: &str, wanted: &Wanted<'_>) -> io::Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    visit(directory, &format!("{key}/"), wanted, &mut found)?;
    Ok(found)
}

fn visit(directory: &Path, key: &str, wanted: &Wanted<'_>, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        // It became empty, and went, after its parent was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_directory = entry.file_type()?.is_dir();
        // A directory stands in the order where the keys in it do.
        let key = if is_directory { format!("{key}{name}/") } else { format!("{key}{name}") };
        if is_directory || !is_staged(&name) {
            keys.push((key, name));
        }
    }
    keys.sort_unstable();
    for (key, name) in keys {
        if found.len() >= wanted.limit {
            return Ok(());
        }
        let path = directory.join(name);
        if key.ends_with('/') {
            let may_hold = key.starts_with(wanted.prefix) || wanted.prefix.starts_with(&key);
            let is_past = wanted.after.is_some_and(|after| after >= key.as_str() && !after.starts_with(&key));
            if may_hold && !is_past {
                visit(&path, &key, wanted, found)?;
            }
        } else if key.starts_with(wanted.prefix) && wanted.after.is_none_or(|after| key.as_str() > after) {
            match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                facts => found.push(ObjectInfo { key: ObjectKey::from_listing(key), size: facts?.len() }),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_in_key_order_whatever_the_directories() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ["t/a-b", "t/a/1", "t/a/2#x", "t/a0", "t/b/c/d/e", "t/b/c/d#7", "t/z"];
        for key in keys {
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        let shown: Vec<&str> = keys.into_iter().filter(|key| *key != "t/b/c/d#7").collect();
        for limit in 1..=7 {
            let (mut walked, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let wanted = Wanted { prefix: "t/", after: after.as_deref(), limit };
                let found = page(&dir.path().join("t"), "t", &wanted).unwrap();
                assert!(found.iter().all(|object| object.size == object.key.as_str().len() as u64));
                let Some(last) = found.last() else { break };
                after = Some(last.key.as_str().to_owned());
                walked.extend(found.iter().map(|object| object.key.as_str().to_owned()));
            }
            assert_eq!(walked, shown, "{limit} at a time");
        }
        let wanted = Wanted { prefix: "t/a", after: Some("t/a/zzzz"), limit: 9 };
        let found = page(&dir.path().join("t"), "t", &wanted).unwrap();
        assert_eq!(found.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["t/a0"]);
    }
}
