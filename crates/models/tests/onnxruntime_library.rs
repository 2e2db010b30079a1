//! What a missing or broken ONNX Runtime gives. In a process of its own, since the library is loaded once.

use vectrion_models::{LocalEmbedder, LocalEmbedderSettings};
use vectrion_testkit::assets_dir;

#[test]
fn a_missing_or_broken_library_is_named_and_a_good_one_loads_after_it() {
    let assets = tempfile::tempdir().unwrap();
    let load = || LocalEmbedder::load(&LocalEmbedderSettings::new(assets.path()));
    let real = assets_dir();
    let library = assets.path().join("onnxruntime/libonnxruntime.so");
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(real.join("all-MiniLM-L6-v2"), assets.path().join("all-MiniLM-L6-v2")).unwrap();

    let missing = load().err().unwrap();
    assert_eq!(missing.reason(), "MODEL_ASSETS_MISSING");
    std::fs::write(&library, b"no library").unwrap();
    let broken = load().err().unwrap();
    assert_eq!(broken.reason(), "MODEL_ASSETS_UNUSABLE");
    assert!(std::error::Error::source(&broken).is_some());
    for error in [missing, broken] {
        assert!(error.message().contains("libonnxruntime.so") && error.message().contains("make assets"), "{error:?}");
    }

    std::fs::remove_file(&library).unwrap();
    std::os::unix::fs::symlink(real.join("onnxruntime/libonnxruntime.so"), &library).unwrap();
    load().unwrap();
}
