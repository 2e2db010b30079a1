use super::*;
use crate::config::Sources;

fn config(settings: &[(&str, &str)]) -> Config {
    let overrides = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let environment = vec![("HOME".to_owned(), "/home/somebody".to_owned())];
    Config::load(&Sources { file: None, environment, overrides }).unwrap()
}

fn refused(result: Result<(), ConfigError>) -> (String, String) {
    match result {
        Err(ConfigError::Invalid { key, problem }) => (key, problem),
        other => panic!("not refused: {other:?}"),
    }
}

const POSTGRES: (&str, &str) = ("database.url", "postgres://vectrion@db/vectrion");

#[test]
fn a_separate_worker_needs_what_several_processes_share() {
    let (key, problem) = refused(check_worker(&config(&[])));
    assert_eq!(key, "database.url");
    assert!(problem.contains("`sqlite:`") && problem.contains("postgres://"), "{problem}");
    let (key, problem) = refused(check_worker(&config(&[POSTGRES])));
    assert_eq!(key, "vectors.url");
    assert!(problem.contains("`edge:`"), "{problem}");
    let (key, _) = refused(check(&config(&[("worker.in_process", "false")])));
    assert_eq!(key, "database.url", "a server without workers of its own needs others");
}

#[test]
fn servers_of_one_database_need_one_pepper() {
    assert_eq!(refused(check(&config(&[POSTGRES]))).0, "auth.pepper");
    check(&config(&[POSTGRES, ("auth.pepper", "a pepper of thirty-two bytes or more")])).unwrap();
    check(&config(&[])).unwrap();
}

#[test]
fn the_broker_is_one_of_the_queues() {
    check(&config(&[("queue.url", "amqp://user:secret@host/v")])).unwrap();
    let (key, problem) = refused(check(&config(&[("queue.url", "kafka://user:secret@host/v")])));
    assert_eq!(key, "queue.url");
    assert!(problem.contains("amqp") && !problem.contains("secret"), "{problem}");
    assert_eq!(refused(check(&config(&[("queue.heartbeat_s", "0")]))).0, "queue.heartbeat_s");
}

#[test]
fn what_cannot_be_right_is_found_without_asking_a_service() {
    let s3 = ("objects.url", "s3://bucket");
    let qdrant = ("vectors.url", "http://qdrant:6334");
    let amqp = ("queue.url", "amqp://user:hunter2@host/v");
    for (settings, named) in [
        (&[s3, ("objects.endpoint", "http://minio:9000")][..], "objects.endpoint"),
        (&[s3, ("objects.access_key_id", "key")], "objects.secret_access_key"),
        (&[("objects.url", "s3://B")], "objects.url"),
        (&[("objects.url", "file://relative")], "objects.url"),
        (&[qdrant, ("vectors.prefix", "a-b")], "vectors.prefix"),
        (&[("vectors.url", "http://key:hunter2@qdrant")], "vectors.url"),
        (&[("vectors.url", "https://qdrant"), ("vectors.ca_file", "/no/such/file")], "vectors.ca_file"),
        (&[amqp, ("queue.prefix", "a b")], "queue.prefix"),
        (&[amqp, ("queue.ca_path", "/no/such/file")], "queue.ca_path"),
        (&[("queue.url", "amqp://user:hunter2@host:port/v")], "queue.url"),
        (&[("cache.url", "redis://:hunter2@cache/x")], "cache.url"),
        (&[("auth.pepper", "hunter2")], "auth.pepper"),
    ] {
        let (key, problem) = refused(check(&config(settings)));
        assert_eq!(key, named, "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    check(&config(&[s3, qdrant, amqp, ("cache.url", "redis://:hunter2@cache/0")])).unwrap();
}

#[test]
fn settings_that_a_backend_refuses_are_a_wrong_configuration() {
    let refused = backend("vectors")(Error::invalid_field("vectors.prefix", "must be a name"));
    assert!(
        matches!(&refused, StartError::Config(ConfigError::Invalid { key, .. }) if key == "vectors.prefix"),
        "{refused}"
    );
    let away = backend("vectors")(Error::unavailable("VECTOR_INDEX_UNAVAILABLE", "away"));
    assert!(matches!(away, StartError::Backend { what: "vectors", .. }));
}
