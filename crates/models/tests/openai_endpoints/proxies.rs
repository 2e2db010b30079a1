//! Requests go through the proxy of the settings, or none.

use std::process::Command;

use vectrion_testkit::openai::OpenAiServer;

use super::{answer, model, patient};

#[tokio::test]
async fn the_proxy_of_the_settings_is_used() {
    let proxy = OpenAiServer::start().await;
    let mut settings = patient("http://model.invalid/v1".to_owned());
    settings.endpoint.proxy = Some(proxy.base_url().trim_end_matches("/v1").into());
    answer(&model(settings)).await;
    assert_eq!(proxy.requests()[0].path, "http://model.invalid/v1/chat/completions");
}

/// Runs another test in a process whose environment names a proxy that is not there.
#[tokio::test]
async fn the_proxy_of_the_environment_is_not_used() {
    let nobody = OpenAiServer::refusing_url().await;
    let mut command = Command::new(std::env::current_exe().expect("a test runs from a file"));
    command.args(["--exact", "chat_stream::the_request_is_what_the_settings_say"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &nobody);
    }
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
