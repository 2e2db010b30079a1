//! The thread that builds graphs and merges segments.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use super::{shard::OpenShard, writer::Command};

/// One thread for all shards, which it optimises one after the other: the work takes every core there is, at low priority.
/// It ends when all handles to it are dropped.
#[derive(Clone, Debug)]
pub(super) struct Optimizer {
    shards: mpsc::Sender<Arc<OpenShard>>,
}

impl Optimizer {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (shards, waiting) = mpsc::channel::<Arc<OpenShard>>();
        thread::Builder::new().name("vectors-optimize".to_owned()).spawn(move || {
            for shard in waiting {
                optimize(&shard);
            }
        })?;
        Ok(Self { shards })
    }

    /// Puts a shard in line. Its writer gets [`Command::Optimized`] in the end. False when the thread is gone.
    pub(super) fn request(&self, shard: Arc<OpenShard>) -> bool {
        self.shards.send(shard).is_ok()
    }
}

fn optimize(shard: &OpenShard) {
    let begin = Instant::now();
    let outcome = shard.engine().run("optimise", |shard| shard.optimize());
    if let Ok(true) = outcome {
        tracing::info!(
            directory = %shard.engine().directory().display(),
            duration_ms = begin.elapsed().as_millis(),
            "optimised a vector index"
        );
    }
    // The writer is gone only when nobody cares any more.
    let _ = shard.commands().blocking_send(Command::Optimized { outcome });
}
