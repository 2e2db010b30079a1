//! One log line per call, without what nobody should read.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::support::{ask, search, start};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// The lines of calls, once there are so many.
    async fn calls(&self, many: usize) -> Vec<String> {
        for _ in 0..250 {
            let text = String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned();
            let calls: Vec<_> = text.lines().filter(|line| line.contains("duration_ms")).map(str::to_owned).collect();
            if calls.len() >= many {
                return calls;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no {many} lines of calls");
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

// The runtime of a test has one thread, so the subscriber of this thread sees the server's tasks too.
#[tokio::test]
async fn a_call_is_one_line_with_who_what_and_how_it_ended() {
    let lines = Lines::default();
    // With a single subscriber in the process, a log line that another test's thread reaches first is judged by that
    // thread's, which is none, and is switched off for all. A second one makes tracing ask them all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber =
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::DEBUG).with_writer(lines.clone()).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let server = start().await;
    let client = server.client("user").await;
    client.query().retrieve(search("my private question")).await.expect("fine");
    client.query().retrieve(search("broken")).await.expect_err("broken");
    let mut stream = client.query().answer(ask("failed")).await.expect("begun").into_inner();
    while let Ok(Some(_)) = stream.message().await {}
    let mut dropped = client.query().answer(ask("silent")).await.expect("begun").into_inner();
    dropped.message().await.expect("fine").expect("started");
    drop(dropped);

    let calls = lines.calls(4).await;
    assert_eq!(calls.len(), 4, "{calls:#?}");
    for (line, method, code) in [
        (&calls[0], "Retrieve", "OK"),
        (&calls[1], "Retrieve", "INTERNAL"),
        (&calls[2], "Answer", "DEADLINE_EXCEEDED"),
        (&calls[3], "Answer", "CANCELLED"),
    ] {
        for part in [
            format!("\"method\":\"{method}\""),
            format!("\"code\":\"{code}\""),
            "\"service\":\"vectrion.v1.QueryService\"".to_owned(),
            "\"key_id\":\"00000000-0000-0000-0000-000000000007\"".to_owned(),
            "\"tenant_id\":\"00000000-0000-0000-0000-000000000008\"".to_owned(),
            "\"trace_id\":\"".to_owned(),
        ] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
    let text = lines.text();
    let failures: Vec<_> = text.lines().filter(|line| line.contains("call failed")).collect();
    assert_eq!(failures.len(), 1, "the cause is logged once");
    assert!(failures[0].contains("disk") && failures[0].contains("DATABASE"), "{}", failures[0]);
    assert!(!text.contains("vk_user"), "no secrets");
    assert!(!text.contains("private question"), "no questions");
}
