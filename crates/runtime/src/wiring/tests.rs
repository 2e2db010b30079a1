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
