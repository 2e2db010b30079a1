//! Jobs as operators see them.

use sea_orm::ConnectionTrait;
use uuid::Uuid;
use vectrion_core::{
    ids::{JobId, TenantId},
    job::Job,
    page::{Page, PageRequest},
    ports::jobs::JobFilter,
};

use super::{lease, queue};
use crate::{
    failure::Outcome,
    page_token::{self, List},
    rows::jobs,
    sql,
};

pub(super) async fn jobs<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    filter: &JobFilter,
    page: &PageRequest,
) -> Outcome<Page<Job>> {
    let list = List::new("jobs", (tenant, filter));
    let mut query = sql::for_tenant(tenant, "SELECT * FROM jobs WHERE tenant_id = $1", []);
    if let Some(document) = filter.document {
        query.push(" AND document_id = ").bind(document.0);
    }
    if !filter.stages.is_empty() {
        query.push(" AND stage IN ").bind_list(filter.stages.iter().map(|stage| stage.as_str()));
    }
    if !filter.states.is_empty() {
        query.push(" AND state IN ").bind_list(filter.states.iter().map(|state| state.as_str()));
    }
    if let Some((time, id)) = list.after::<(i64, Uuid)>(page)? {
        query.push(" AND (create_time, id) < (").bind(time).push(", ").bind(id).push(")");
    }
    query.push(" ORDER BY create_time DESC, id DESC LIMIT ").bind(page_token::limit(page));
    let rows: Vec<jobs::Model> = query.all(connection).await?;
    let page = list.page(rows, page, |row| (row.create_time, row.id))?;
    Ok(Page { items: page.items.into_iter().map(queue::job_of).collect::<Outcome<_>>()?, next: page.next })
}

pub(super) async fn job<C: ConnectionTrait>(connection: &C, tenant: TenantId, id: JobId) -> Outcome<Option<Job>> {
    lease::row(connection, tenant, id).await?.map(queue::job_of).transpose()
}
