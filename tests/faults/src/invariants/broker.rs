//! What the broker holds, by its management interface.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::environment::Installation;

/// The broker's figures are of some seconds ago.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);

/// I6: no wake-up is left when no work is left.
pub(super) async fn check(installation: &Installation) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let left = messages(installation).await?;
        if left.is_empty() {
            return Ok(Vec::new());
        }
        if start.elapsed() > PATIENCE {
            let left = left.join(", ");
            return Ok(vec![format!(
                "I6: nothing is to be done, and the broker holds wake-ups after {PATIENCE:?}: {left}"
            )]);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The queues of stages that are not empty.
async fn messages(installation: &Installation) -> Result<Vec<String>> {
    let queues = api(installation, "queues/vectrion").await?;
    let mut left = Vec::new();
    for queue in queues.as_array().context("a list of queues")? {
        let name = queue["name"].as_str().unwrap_or_default();
        let is_stage = name.starts_with(&installation.name) && !name.ends_with(".dead");
        // A queue that has just been made has no figures yet.
        let count = |figure: &str| queue[figure].as_u64().unwrap_or(0);
        if is_stage && count("messages") > 0 {
            let (ready, held) = (count("messages_ready"), count("messages_unacknowledged"));
            left.push(format!("{name}: {ready} ready, {held} held by {} consumers", count("consumers")));
        }
    }
    Ok(left)
}

/// Asks the management interface.
async fn api(installation: &Installation, path: &str) -> Result<Value> {
    let url =
        installation.services.rabbitmq.exported("VECTRION_TEST_AMQP_API_URL").context("the broker's interface")?;
    let (user, rest) = url.trim_start_matches("http://").split_once('@').context("a URL with a user")?;
    let (address, base) = rest.split_once('/').context("a URL with a path")?;
    let user = base64::engine::general_purpose::STANDARD.encode(user);
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /{base}/{path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {user}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").context("a response")?;
    serde_json::from_str(body).with_context(|| format!("the broker's interface: {}", head.lines().next().unwrap_or("")))
}
