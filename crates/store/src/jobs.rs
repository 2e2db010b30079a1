//! Jobs, leases, and what the stages commit.

pub(crate) mod claim;
mod commit;
pub(crate) mod dead_letters;
mod deletion;
mod depth;
mod ending;
mod history;
pub(crate) mod lease;
mod lists;
pub(crate) mod queue;
mod reaping;
pub(crate) mod status;
mod workers;

use std::time::Duration;

use async_trait::async_trait;
use vectrion_core::{
    Error, Result,
    document::{Document, Failure, Progress},
    ids::{DeadLetterId, JobId, TenantId, VersionId, WorkerId},
    job::{DeadLetter, DeadLetterCause, Job, Lease, Stage, Worker},
    page::{Page, PageRequest},
    ports::jobs::{
        DeadLetterFilter, DeadLetterSelection, JobFilter, Jobs, NextJob, ProcessedVersion, QueueDepth, QueueStatus,
    },
};

use crate::Store;

#[async_trait]
impl Jobs for Store {
    async fn claim(&self, stages: &[Stage], worker: &WorkerId, lease_for: Duration) -> Result<Option<Lease>> {
        self.unit(|| claim::claim(self, stages, worker, lease_for)).await
    }

    async fn heartbeat(&self, lease: &Lease, lease_for: Duration, progress: Option<Progress>) -> Result<()> {
        self.unit(|| lease::extend(self, lease, lease_for, progress)).await
    }

    async fn check_work(&self, lease: &Lease) -> Result<()> {
        self.unit(|| lease::check_work(self.reader(), lease)).await
    }

    async fn job_document(&self, lease: &Lease) -> Result<Option<Document>> {
        self.unit(|| lease::document(self.reader(), lease)).await
    }

    async fn finish_processing(
        &self,
        lease: &Lease,
        processed: ProcessedVersion,
        next: NextJob,
    ) -> Result<Option<Lease>> {
        self.long_once(commit::processing(self, lease, processed, next)).await
    }

    async fn finish_embedding(&self, lease: &Lease) -> Result<()> {
        self.unit(|| commit::embedding(self, lease)).await
    }

    async fn versions_to_delete(&self, lease: &Lease) -> Result<Vec<VersionId>> {
        self.unit(|| async { deletion::versions(&self.snapshot().await?, lease).await }).await
    }

    async fn finish_deletion(&self, lease: &Lease) -> Result<()> {
        self.long_unit(|| deletion::finish(self, lease)).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.unit(|| ending::release(self, lease)).await
    }

    async fn cancel(&self, lease: &Lease) -> Result<()> {
        self.unit(|| ending::cancel(self, lease)).await
    }

    async fn retry_later(&self, lease: &Lease, error: &Error, delay: Duration) -> Result<()> {
        self.unit(|| ending::retry_later(self, lease, error, delay)).await
    }

    async fn put_off(&self, lease: &Lease, error: &Error, delay: Duration) -> Result<()> {
        self.unit(|| ending::put_off(self, lease, error, delay)).await
    }

    async fn fail(&self, lease: &Lease, failure: Failure) -> Result<DeadLetter> {
        self.unit(|| ending::fail(self, lease, failure.clone())).await
    }

    async fn reap(&self, max_interruptions: u32) -> Result<u64> {
        self.long_unit(|| reaping::reap(self, reaping::Which::Expired, max_interruptions)).await
    }

    async fn reap_all(&self, max_interruptions: u32) -> Result<u64> {
        self.long_unit(|| reaping::reap(self, reaping::Which::All, max_interruptions)).await
    }

    async fn next_ready_in(&self, stages: &[Stage]) -> Result<Option<Duration>> {
        self.unit(|| depth::next_ready_in(self.reader(), stages)).await
    }

    async fn list_jobs(&self, tenant: TenantId, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        self.unit(|| lists::jobs(self.reader(), tenant, filter, page)).await
    }

    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<Job>> {
        self.unit(|| lists::job(self.reader(), tenant, id)).await
    }

    async fn list_dead_letters(
        &self,
        tenant: TenantId,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetter>> {
        self.unit(|| dead_letters::list(self.reader(), tenant, filter, page)).await
    }

    async fn dead_letter_causes(
        &self,
        tenant: TenantId,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> Result<Vec<DeadLetterCause>> {
        self.unit(|| async { dead_letters::causes(&self.snapshot().await?, tenant, filter, limit).await }).await
    }

    async fn select_dead_letters(
        &self,
        tenant: TenantId,
        selection: &DeadLetterSelection,
        limit: u32,
    ) -> Result<(Vec<DeadLetterId>, u64)> {
        self.unit(|| async { dead_letters::select(&self.snapshot().await?, tenant, selection, limit).await }).await
    }

    async fn purge_dead_letters(&self, tenant: TenantId, ids: &[DeadLetterId]) -> Result<u64> {
        self.long_unit(|| dead_letters::purge(self, tenant, ids)).await
    }

    async fn dead_letter(&self, tenant: TenantId, id: DeadLetterId) -> Result<Option<DeadLetter>> {
        self.unit(|| dead_letters::by_id(self.reader(), tenant, id)).await
    }

    async fn replay_dead_letter(&self, tenant: TenantId, id: DeadLetterId, trace_id: &str) -> Result<Job> {
        self.unit(|| dead_letters::replay(self, tenant, id, trace_id)).await
    }

    async fn worker_heartbeat(&self, worker: &WorkerId, host: &str, stages: &[Stage], draining: bool) -> Result<()> {
        self.unit(|| workers::heartbeat(self, worker, host, stages, draining)).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<()> {
        self.unit(|| workers::remove(self, worker)).await
    }

    async fn list_workers(&self, within: Duration) -> Result<Vec<Worker>> {
        self.unit(|| async { workers::list(&self.snapshot().await?, within).await }).await
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>> {
        self.unit(|| depth::queues(self.reader())).await
    }

    async fn tenant_queue_depths(&self, tenant: TenantId) -> Result<Vec<QueueDepth>> {
        self.unit(|| depth::tenant_queues(self.reader(), tenant)).await
    }

    async fn queue_statuses(&self, tenant: Option<TenantId>) -> Result<Vec<QueueStatus>> {
        self.unit(|| status::queues(self, tenant)).await
    }

    async fn purge_jobs(&self, keep_ms: i64) -> Result<u64> {
        self.long_unit(|| depth::purge(self, keep_ms)).await
    }
}

/// Milliseconds of a duration, as the database counts them.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
