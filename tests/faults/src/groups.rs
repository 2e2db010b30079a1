//! The faults, by what they hit.

mod backends;
mod broker;
mod database;
mod documents;
mod machine;
mod mixture;
mod processes;

use std::time::Duration;

use anyhow::Result;

use crate::scene::{Extent, Scene, Told};

/// A fault of the table.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub number: u32,
    pub name: &'static str,
    pub kind: FaultKind,
    /// Whether it needs an installation that nothing was done to, and leaves one that is of no use.
    pub own_installation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Nothing,
    WorkerKilledAtEachStep,
    ServerKilledBeforePublish,
    RelayKilledAfterConfirm,
    SameMessageTenTimes,
    Versions,
    BrokerKilled,
    BrokerSilent,
    DatabaseRestarted,
    DatabaseStopped,
    CacheLost,
    IndexDown,
    IndexKilled,
    Objects,
    PoisonPdfs,
    PoisonAhead,
    Terminated,
    DiskFull,
    ClockOff,
    Largest,
    Restored,
    Mixture,
}

const fn fault(number: u32, name: &'static str, kind: FaultKind) -> Fault {
    Fault { number, name, kind, own_installation: false }
}

const fn apart(number: u32, name: &'static str, kind: FaultKind) -> Fault {
    Fault { number, name, kind, own_installation: true }
}

/// In the order in which they are injected.
pub const FAULTS: &[Fault] = &[
    fault(0, "none: 50 documents of three tenants", FaultKind::Nothing),
    fault(1, "SIGKILL the worker at each step", FaultKind::WorkerKilledAtEachStep),
    fault(2, "SIGKILL the server between commit and publish", FaultKind::ServerKilledBeforePublish),
    fault(3, "SIGKILL the relay after the confirm", FaultKind::RelayKilledAfterConfirm),
    fault(4, "the same message ten times at once", FaultKind::SameMessageTenTimes),
    fault(5, "version 2 before version 1; delete before ingest ends", FaultKind::Versions),
    fault(6, "broker killed under load", FaultKind::BrokerKilled),
    fault(7, "broker unreachable without a reset", FaultKind::BrokerSilent),
    fault(8, "database restarted under load", FaultKind::DatabaseRestarted),
    fault(9, "database stopped (SIGSTOP)", FaultKind::DatabaseStopped),
    fault(10, "Redis killed or flushed", FaultKind::CacheLost),
    fault(11, "vector index down", FaultKind::IndexDown),
    fault(12, "vector index killed during an upsert", FaultKind::IndexKilled),
    fault(13, "object store: 503, slow, cut, wrong bytes", FaultKind::Objects),
    fault(14, "poison PDFs", FaultKind::PoisonPdfs),
    fault(15, "poison ahead of 50 good documents", FaultKind::PoisonAhead),
    fault(23, "SIGTERM with 100 streams and busy workers", FaultKind::Terminated),
    apart(24, "disk full", FaultKind::DiskFull),
    apart(25, "clock off by 10 min", FaultKind::ClockOff),
    apart(27, "database restored from a dump", FaultKind::Restored),
    apart(28, "a seeded random mixture", FaultKind::Mixture),
    // Last, because a stand-in of an index that holds so much takes long to start again.
    apart(26, "the largest documents at once, memory sampled", FaultKind::Largest),
];

impl Fault {
    /// Time after which the run gives up on it.
    pub fn at_most(&self, extent: &Extent) -> Duration {
        let minutes = match self.kind {
            FaultKind::WorkerKilledAtEachStep if extent.full => 60,
            _ => 6,
        };
        let mixture = if self.kind == FaultKind::Mixture { extent.mixture } else { Duration::ZERO };
        Duration::from_secs(minutes * 60) + mixture
    }
}

pub async fn inject(kind: FaultKind, scene: &mut Scene) -> Result<Told> {
    match kind {
        FaultKind::Nothing => processes::nothing(scene).await,
        FaultKind::WorkerKilledAtEachStep => processes::worker_killed_at_each_step(scene).await,
        FaultKind::ServerKilledBeforePublish => processes::server_killed_before_publish(scene).await,
        FaultKind::RelayKilledAfterConfirm => processes::relay_killed_after_confirm(scene).await,
        FaultKind::SameMessageTenTimes => processes::same_message_ten_times(scene).await,
        FaultKind::Versions => documents::versions(scene).await,
        FaultKind::BrokerKilled => broker::killed(scene).await,
        FaultKind::BrokerSilent => broker::silent(scene).await,
        FaultKind::DatabaseRestarted => database::restarted(scene).await,
        FaultKind::DatabaseStopped => database::stopped(scene).await,
        FaultKind::CacheLost => backends::cache_lost(scene).await,
        FaultKind::IndexDown => backends::index_down(scene).await,
        FaultKind::IndexKilled => backends::index_killed(scene).await,
        FaultKind::Objects => backends::objects(scene).await,
        FaultKind::PoisonPdfs => documents::poison_pdfs(scene).await,
        FaultKind::PoisonAhead => documents::poison_ahead(scene).await,
        FaultKind::Terminated => processes::terminated(scene).await,
        FaultKind::DiskFull => machine::disk_full(scene).await,
        FaultKind::ClockOff => machine::clock_off(scene).await,
        FaultKind::Largest => documents::largest(scene).await,
        FaultKind::Restored => database::restored(scene).await,
        FaultKind::Mixture => mixture::mixture(scene).await,
    }
}
