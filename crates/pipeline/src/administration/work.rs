//! Jobs, workers, depths of queues.

use std::time::Duration;

use vectrion_core::{
    Error, Result,
    ids::JobId,
    job::{Job, Worker},
    page::{Page, PageRequest},
    ports::jobs::{JobFilter, QueueDepth},
    tenancy::{CallContext, Role},
};

use super::{Administration, TenantRef};
use crate::identity::role_too_weak;

/// A worker that was not heard of for this long is taken for dead: six of its heartbeats.
const WORKER_LIVES: Duration = Duration::from_secs(60);

impl Administration {
    /// Jobs, newest first.
    pub async fn list_jobs(
        &self,
        context: &CallContext,
        tenant: &TenantRef,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.ports.jobs.list_jobs(tenant, filter, page).await
    }

    /// A job. A missing one is `NOT_FOUND`, reason `JOB_NOT_FOUND`.
    pub async fn get_job(&self, context: &CallContext, tenant: &TenantRef, job: JobId) -> Result<Job> {
        let tenant = self.resolve_tenant(context, tenant).await?;
        self.ports.jobs.job(tenant, job).await?.ok_or_else(|| {
            Error::not_found("JOB_NOT_FOUND", format!("there is no job {job}")).with_metadata("job_id", job.to_string())
        })
    }

    /// Workers heard of within the last minute. The operator's, because workers serve all tenants.
    pub async fn list_workers(&self, context: &CallContext) -> Result<Vec<Worker>> {
        if context.principal.role != Role::Operator {
            return Err(role_too_weak("workers are listed with an operator's key"));
        }
        self.ports.jobs.list_workers(WORKER_LIVES).await
    }

    /// Depth of every stage's queue: of all tenants for an operator, of the caller's own for everybody else.
    pub async fn queue_depths(&self, context: &CallContext) -> Result<Vec<QueueDepth>> {
        match context.principal.role {
            Role::Operator => self.ports.jobs.queue_depths().await,
            Role::Admin | Role::Editor | Role::User => {
                self.ports.jobs.tenant_queue_depths(context.principal.tenant).await
            }
        }
    }
}
