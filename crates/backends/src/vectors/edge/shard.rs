//! An open shard: the engine, and the thread that writes to it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use vectrion_core::Result;

use super::{engine::Engine, failure, writer::Command};

/// Changes that wait for the writer of a shard; who brings more waits.
pub(super) const COMMANDS: usize = 64;

/// An open shard.
#[derive(Debug)]
pub(super) struct OpenShard {
    engine: Arc<Engine>,
    commands: mpsc::Sender<Command>,
}

impl OpenShard {
    pub(super) fn new(engine: Arc<Engine>, commands: mpsc::Sender<Command>) -> Self {
        Self { engine, commands }
    }

    /// The engine, for reading.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The writer.
    pub(super) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    /// Has the writer do something, and waits for it. What has not begun when the future is dropped is never done.
    pub(super) async fn command(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| failure::closed())?;
        answer.await.unwrap_or_else(|_| Err(failure::closed()))
    }
}
