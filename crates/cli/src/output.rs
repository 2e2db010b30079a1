//! Printing results: protobuf JSON or text for people.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::failure::Failure;

/// Where results go, and in which form.
#[derive(Clone)]
pub(crate) struct Output {
    pool: Option<DescriptorPool>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Result<Self, Failure> {
        let pool = json
            .then(|| {
                DescriptorPool::decode(vectrion::FILE_DESCRIPTOR_SET).context("the built-in descriptors are damaged")
            })
            .transpose()?;
        Ok(Self { pool })
    }

    pub(crate) fn is_json(&self) -> bool {
        self.pool.is_some()
    }

    /// Prints a message: as JSON, or as `text` makes it.
    pub(crate) fn message<M: Message>(
        &self,
        name: &str,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        match &self.pool {
            Some(pool) => self.line(&json(pool, name, message)?),
            None => self.line(&text(message)),
        }
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(())
    }

    /// Prints text as it is, at once.
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

fn json<M: Message>(pool: &DescriptorPool, name: &str, message: &M) -> Result<String, Failure> {
    let descriptor = pool
        .get_message_by_name(&format!("vectrion.v1.{name}"))
        .with_context(|| format!("the built-in descriptors lack {name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .with_context(|| format!("cannot read back a {name}"))?;
    Ok(serde_json::to_string(&message).with_context(|| format!("cannot print a {name}"))?)
}

/// Whether a person sees what goes to standard error, so that bars make sense.
pub(crate) fn progress_is_seen() -> bool {
    std::io::stderr().is_terminal()
}

/// Tells a person something beside the results.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// `n thing` or `n things`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Seconds and nanoseconds as `2026-11-21 12:00:00Z`; empty if absent.
pub(crate) fn time(timestamp: Option<&prost_types::Timestamp>) -> String {
    timestamp.map(|timestamp| timestamp.to_string().replace('T', " ")).map_or_else(String::new, |text| {
        match text.split_once('.') {
            Some((seconds, _)) => format!("{seconds}Z"),
            None => text,
        }
    })
}
