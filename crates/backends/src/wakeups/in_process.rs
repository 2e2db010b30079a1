//! Wake-ups within one process.

use std::time::Duration;

use async_trait::async_trait;
use tokio::{sync::Notify, time::timeout};
use vectrion_core::{
    Result,
    ids::OutboxId,
    job::Stage,
    ports::wakeups::{Announcement, Delivery, Wakeups},
};

/// Wake-ups within one process. A wake-up that finds nobody waiting is kept for the next who waits.
#[derive(Debug, Default)]
pub struct InProcessWakeups {
    process_document: Notify,
    embed_document: Notify,
    delete_document: Notify,
}

impl InProcessWakeups {
    fn of(&self, stage: Stage) -> &Notify {
        match stage {
            Stage::ProcessDocument => &self.process_document,
            Stage::EmbedDocument => &self.embed_document,
            Stage::DeleteDocument => &self.delete_document,
        }
    }
}

#[async_trait]
impl Wakeups for InProcessWakeups {
    async fn notify(&self, stage: Stage) -> Result<()> {
        self.of(stage).notify_one();
        Ok(())
    }

    async fn announce(&self, batch: &[Announcement]) -> Result<Vec<OutboxId>> {
        for announcement in batch {
            self.of(announcement.stage).notify_one();
        }
        Ok(batch.iter().map(|announcement| announcement.id).collect())
    }

    async fn wait(&self, stage: Stage, at_most: Duration) -> Result<Option<Box<dyn Delivery>>> {
        // Running out of time is as good as a wake-up: the caller looks either way, and there is nothing to settle.
        let _ = timeout(at_most, self.of(stage).notified()).await;
        Ok(None)
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }
}
