//! What is written by servers and users stays out of logs and errors.

use std::{
    error::Error as StdError,
    io,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::json;
use vectrion_testkit::openai::{OpenAiServer, Reply, Step};

use super::{ask, model, patient};

#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What all tests log. Every test calls it before its first log line: tracing remembers for good that nobody wants a
/// line if it is first reached while the subscriber is being installed.
pub fn logs() -> &'static Captured {
    static LOGS: OnceLock<Captured> = OnceLock::new();
    LOGS.get_or_init(|| {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("warn,vectrion_models=trace")
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("there is no other");
        captured
    })
}

#[tokio::test]
async fn neither_logs_nor_errors_hold_bodies_prompts_or_keys() {
    let server = OpenAiServer::start().await;
    let in_stream = json!({ "error": { "message": Reply::CANARY, "type": Reply::CANARY, "code": Reply::CANARY } });
    let wrong_type = json!({ "choices": [{ "delta": Reply::CANARY }] });
    let mut shown = String::new();
    for reply in [
        Reply::error(500, "x"),
        Reply::error(400, "x"),
        Reply::error(429, Reply::CANARY),
        Reply::error(307, "x").header("location", format!("http://127.0.0.1:1/{}", Reply::CANARY.replace(' ', "-"))),
        Reply::script([Step::event(&in_stream)]),
        Reply::script([Step::delta("a"), Step::event(&in_stream)]),
        Reply::script([Step::event(&wrong_type)]),
        Reply::script([Step::delta("a"), Step::Event(Reply::CANARY.to_owned())]),
        Reply::script([Step::raw([Reply::CANARY.as_bytes(), b"\xff\n\n"].concat())]),
        Reply::body("application/json", [Step::raw(wrong_type.to_string())]),
    ] {
        server.answer_chat(move |_| reply.clone());
        let mut settings = patient(server.base_url());
        settings.endpoint.api_key = Some("sk-of-the-operator".into());
        let model = model(settings);
        let (_, error) = ask(&model).await;
        let error = error.expect("each of them fails");
        shown.push_str(&format!("{error} {error:?} {:?} {model:?} ", error.metadata()));
        let mut source = error.source();
        while let Some(cause) = source {
            shown.push_str(&format!("{cause} {cause:?} "));
            source = cause.source();
        }
    }
    let logged = logs().text();
    assert!(logged.contains("trying again"), "retries are logged: {logged}");
    for secret in ["canary", "what is it?", "passages", "sk-of-the-operator"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}
