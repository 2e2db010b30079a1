//! Keys as paths of the store.

use object_store::path::Path;
use vectrion_core::{Error, Result, ports::objects::ObjectKey};

/// The path of an object. A key that could lead out of the store, or that a store would change, is refused.
pub(super) fn location(key: &ObjectKey) -> Result<Path> {
    let invalid =
        || Error::invalid("INVALID_OBJECT_KEY", "an object key must be made of names joined by single slashes");
    let path = Path::parse(key.as_str()).map_err(|error| invalid().with_source(error))?;
    // `parse` drops slashes at either end; a key that it changes would be stored under another one.
    if path.as_ref() != key.as_str() || path.as_ref().is_empty() || path.as_ref().contains(['#', '\\', '\0']) {
        return Err(invalid());
    }
    Ok(path)
}

/// The deepest directory that holds every object whose key begins with `prefix`. At least one directory has to be named:
/// no call touches the whole store.
pub(super) fn directory(prefix: &ObjectKey) -> Result<Path> {
    let directory = prefix.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
    location(&ObjectKey::from_listing(directory.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::from_listing(text.to_owned())
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused() {
        assert_eq!(location(&key("tenants/a/versions/b/original")).unwrap().as_ref(), "tenants/a/versions/b/original");
        for wrong in
            ["", "/", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/", "a/b#1", "a\\b", "a\0b", "a/.."]
        {
            let error = location(&key(wrong)).expect_err(wrong);
            assert_eq!(error.reason(), "INVALID_OBJECT_KEY", "{wrong}");
        }
    }

    #[test]
    fn the_directory_of_a_prefix_holds_all_that_begins_with_it() {
        assert_eq!(directory(&key("tenants/a/versions/b/")).unwrap().as_ref(), "tenants/a/versions/b");
        assert_eq!(directory(&key("tenants/a/vers")).unwrap().as_ref(), "tenants/a");
        for wrong in ["", "tenants", "/", "../", "a/../b/"] {
            directory(&key(wrong)).expect_err(wrong);
        }
    }
}
