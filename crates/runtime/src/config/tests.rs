use super::*;

fn load(environment: &[(&str, &str)], overrides: &[Override]) -> Result<Config, ConfigError> {
    let mut variables: Vec<(String, String)> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    variables.push(("HOME".into(), "/home/somebody".into()));
    Config::load(&Sources { file: None, environment: variables, overrides: overrides.to_vec() })
}

#[test]
fn later_sources_win() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.toml");
    std::fs::write(&file, "[worker]\nlease_s = 7\npoll_ms = 8\ndrain_s = 9\n").unwrap();
    let config = Config::load(&Sources {
        file: Some(file),
        environment: vec![
            ("HOME".into(), "/h".into()),
            ("VECTRION_WORKER_POLL_MS".into(), "80".into()),
            ("VECTRION_WORKER_DRAIN_S".into(), "90".into()),
        ],
        overrides: vec![("worker.drain_s".into(), "900".into())],
    })
    .unwrap();
    let section: Table = config.section("worker").unwrap();
    assert_eq!(section["lease_s"].as_integer(), Some(7));
    assert_eq!(section["poll_ms"].as_integer(), Some(80));
    assert_eq!(section["drain_s"].as_integer(), Some(900));
}

#[test]
fn the_data_directory_stands_in_urls() {
    let config = load(&[], &[("data_dir".into(), "/var/lib/v".into())]).unwrap();
    assert_eq!(config.text("database.url"), "sqlite:///var/lib/v/vectrion.db");
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.data_dir(), Path::new("/home/somebody/.local/share/vectrion"));
}

#[test]
fn a_misspelt_key_is_named_with_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.toml");
    std::fs::write(&file, "[worker]\nlease_sec = 7\n").unwrap();
    let error = Config::load(&Sources { file: Some(file), ..Sources::default() }).err().unwrap().to_string();
    assert!(error.contains("`worker.lease_sec`") && error.contains("did you mean `lease_s`"), "{error}");
    let config = load(&[("VECTRION_WORKER_LEASES", "7")], &[]).unwrap();
    assert!(config.warnings()[0].contains("VECTRION_WORKER_LEASE_S"), "{:?}", config.warnings());
    let elsewhere = [("VECTRION_CA_CERT", "ca.pem"), ("VECTRION_CACHE_DIR", "/c"), ("VECTRION_ADDR", "http://h:1")];
    assert_eq!(load(&elsewhere, &[]).unwrap().warnings(), [] as [String; 0]);
}

#[test]
fn a_wrong_type_names_key_and_source() {
    let error = load(&[("VECTRION_WORKER_LEASE_S", "soon")], &[]).err().unwrap().to_string();
    assert_eq!(error, "VECTRION_WORKER_LEASE_S: `worker.lease_s` must be a whole number");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pepper");
    std::fs::write(&file, "hunter2-hunter2\n").unwrap();
    let path = file.display().to_string();
    let config = load(&[("VECTRION_AUTH_PEPPER_FILE", &path)], &[]).unwrap();
    assert_eq!(config.text("auth.pepper"), "hunter2-hunter2");
    let shown = config.to_redacted_toml();
    assert!(!shown.contains("hunter2") && shown.contains("not shown"), "{shown}");
    let config = load(
        &[
            ("VECTRION_OBJECTS_SECRET_ACCESS_KEY_FILE", &path),
            ("VECTRION_CACHE_URL", "redis://:hunter2@cache:6379/0?prefix=x"),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(config.text("objects.secret_access_key"), "hunter2-hunter2");
    let shown = config.to_redacted_toml();
    assert!(!shown.contains("hunter2") && shown.contains("redis://cache:6379/0"), "{shown}");
    for (url, shown) in [
        ("postgres://me:pw@db:5432/v?sslkey=x", "postgres://db:5432/v"),
        ("redis://:ab/cd@cache:6379/0", "redis://cache:6379/0"),
        ("redis://:ab@cd@cache:6379/0", "redis://cache:6379/0"),
        ("redis://:ab?c/d@cache:6379/0", "redis://(set, not shown)"),
        ("https://host/v1?key=a@b/c", "https://(set, not shown)"),
        ("https://host?key=x", "https://host"),
        ("http://host/v1", "http://host/v1"),
    ] {
        assert_eq!(redacted(url), shown);
    }
}

#[test]
fn the_presets_name_known_settings_only() {
    for preset in ["embedded", "distributed"] {
        let file = format!("{}/../../config/{preset}.toml", env!("CARGO_MANIFEST_DIR"));
        let sources = Sources {
            file: Some(file.into()),
            environment: vec![("HOME".into(), "/home/somebody".into())],
            ..Sources::default()
        };
        let config = Config::load(&sources).unwrap_or_else(|error| panic!("{preset}: {error}"));
        if preset == "embedded" {
            let defaults = load(&[], &[]).unwrap();
            assert_eq!(config.to_redacted_toml(), defaults.to_redacted_toml(), "they are the defaults, spelt out");
            crate::check(&config).unwrap();
        }
    }
}
