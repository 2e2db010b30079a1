//! Where the fetched libraries and models are.

use std::path::PathBuf;

/// The directory that `make assets` fills: `$VECTRION_ASSETS_DIR`, else `~/.cache/vectrion/assets`.
///
/// # Panics
/// When it is not there; the message says how to make it.
#[must_use]
pub fn assets_dir() -> PathBuf {
    let dir = std::env::var_os("VECTRION_ASSETS_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME is set");
        PathBuf::from(home).join(".cache/vectrion/assets")
    });
    assert!(dir.is_dir(), "no assets in {}: run `make assets`", dir.display());
    dir
}
