//! Taking back the jobs of workers that died.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbBackend, QueryFilter as _, QuerySelect as _,
    sea_query::{LockBehavior, LockType},
};
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind,
    document::Failure,
    ids::{DocumentId, JobId, TenantId},
    job::{JobState, Stage, TryOutcome},
};

use super::{
    ending, history,
    lease::{self, Held},
};
use crate::{
    Store,
    failure::{Outcome, is_conflict},
    outbox::Announcer,
    rows::{jobs, number},
    sql::{self, Sql},
    time::{self, Timed},
};

/// Jobs taken back in a call; the rest waits for the next.
const BATCH: i64 = 1000;
/// Milliseconds by which a time has to lie in the future before the clock is said to have gone back.
const CLOCK_GAP: i64 = 1000;

/// Which jobs are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those whose lease has run out.
    Expired,
    /// All that run.
    All,
}

#[derive(sea_orm::FromQueryResult)]
struct Found {
    id: Uuid,
    tenant_id: Uuid,
}

/// Each job in a transaction of its own: it locks a job, its document, then its tenant, and never two of any. A job that cannot be
/// taken back now, and the others of its tenant if document or tenant is held by somebody, wait for the next time; of those the first
/// failure is told when all the rest is done.
pub(super) async fn reap(store: &Store, which: Which, max_interruptions: u32) -> Outcome<u64> {
    let mut reaped = hasten(store).await?;
    let (mut held_up, mut failed) = (HashSet::new(), None);
    loop {
        let found: Vec<Found> = left_behind(store.backend(), which).all(store.reader()).await?;
        let before = reaped;
        for job in &found {
            if held_up.contains(&job.tenant_id) {
                continue;
            }
            match take_back(store, which, TenantId(job.tenant_id), JobId(job.id), max_interruptions).await {
                Ok(taken) => reaped += u64::from(taken),
                Err(failure) => {
                    if is_conflict(&failure) {
                        held_up.insert(job.tenant_id);
                    }
                    let error = Error::from(failure);
                    if error.kind() == ErrorKind::Unavailable {
                        return Err(error.into());
                    }
                    tracing::warn!(job_id = %job.id, reason = error.reason(), ?error, "a job is not taken back");
                    failed = failed.or(Some(error));
                }
            }
        }
        if found.len() < BATCH as usize || reaped == before {
            return failed.map_or(Ok(reaped), |error| Err(error.into()));
        }
    }
}

/// Jobs that nobody works on, those that were left first.
fn left_behind(backend: DbBackend, which: Which) -> Sql {
    let mut query = sql::across_tenants("SELECT id, tenant_id FROM jobs WHERE state = 'running'", []);
    if which == Which::Expired {
        let now = time::now_expression(backend);
        query.push(" AND (lease_expire_time <= ").push(now);
        query.push(" OR (start_time > ").push(now).push(" + ").bind(CLOCK_GAP);
        query.push(" AND lease_expire_time > start_time))");
    }
    query.push(" ORDER BY lease_expire_time LIMIT ").bind(BATCH);
    query
}

/// Whether nobody holds a lease at this moment. One that was taken in what is the future now, by a clock that has gone back
/// since, could last for long; a worker that lives has renewed it, or loses a try that does not count.
fn has_run_out(row: &jobs::Model, now: i64) -> bool {
    let (Some(end), Some(start)) = (row.lease_expire_time, row.start_time) else { return true };
    end <= now || (start > now.saturating_add(CLOCK_GAP) && end > start)
}

/// Makes jobs ready that wait for a moment by a clock that has gone back since: they were queued, or tried, in what is the
/// future now. How far it went back is not known, so what is left of a wait between tries is waived. Returns how many.
async fn hasten(store: &Store) -> Outcome<u64> {
    let now = time::now(store.reader()).await?;
    // What is queued between this and the next statement is no sign.
    let future = now.saturating_add(CLOCK_GAP);
    let found: Option<i32> = ahead("SELECT 1 FROM jobs", future).scalar(store.reader()).await?;
    if found.is_none() {
        return Ok(0);
    }
    let hastened = ahead(&format!("UPDATE jobs SET run_time = {now}"), future).execute(store.writer()).await?;
    tracing::warn!(
        jobs = hastened,
        "the database's clock has gone back; jobs that waited for the time before are ready now"
    );
    Ok(hastened)
}

/// What to do with waiting jobs that were queued or tried after `now`.
pub(crate) fn ahead(what: &str, now: i64) -> Sql {
    let mut query = sql::across_tenants(format!("{what} WHERE state = 'pending' AND stage IN "), []);
    query.bind_list(Stage::ALL.map(Stage::as_str)).push(" AND run_time > ").bind(now);
    query.push(" AND (create_time > ").bind(now).push(" OR start_time > ").bind(now).push(")");
    query
}

async fn take_back(store: &Store, which: Which, tenant: TenantId, id: JobId, max_interruptions: u32) -> Outcome<bool> {
    let tx = store.begin().await?;
    let taken = take_back_within(store, &tx, which, tenant, id, max_interruptions).await?;
    if taken {
        tx.commit().await?;
    }
    Ok(taken)
}

async fn take_back_within(
    store: &Store,
    tx: &DatabaseTransaction,
    which: Which,
    tenant: TenantId,
    id: JobId,
    max_interruptions: u32,
) -> Outcome<bool> {
    // Whoever has it locked commits its end, or takes it back.
    let row = jobs::for_tenant(tenant)
        .filter(jobs::Column::Id.eq(id.0))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(tx)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let now = time::now(tx).await?;
    if row.state != JobState::Running.as_str() || (which == Which::Expired && !has_run_out(&row, now)) {
        return Ok(false);
    }
    let Ok(payload) = serde_json::from_str(&row.payload) else {
        // Of a newer version of the program, which is to have it back: it must not keep the others from being taken back.
        give_back_unread(tx, store.announcer(), &row, now).await?;
        return Ok(true);
    };
    let announcer = store.announcer();
    let held = Held { tenant, document: DocumentId(row.document_id), payload, now, row, announcer };
    let Some(Timed { row: document, .. }) = held.document(tx).await? else {
        lease::withdraw(tx, &held).await?;
        return Ok(true);
    };
    let interruptions = held.row.interruptions + 1;
    sql::for_tenant(
        tenant,
        "UPDATE jobs SET interruptions = $3 WHERE tenant_id = $1 AND id = $2",
        [id.0.into(), interruptions.into()],
    )
    .execute(tx)
    .await?;
    if number(interruptions) > max_interruptions {
        let failure = Failure {
            stage: held.row.stage.clone(),
            reason: "INTERRUPTED_TOO_OFTEN".to_owned(),
            message: format!(
                "the process that worked on the document ended {interruptions} times before it was done; see its log, then \
                 retry the document"
            ),
            attempts: number(held.row.attempts),
        };
        ending::give_up(tx, &held, &document, failure).await?;
    } else {
        // The try does not count, and the job waits its turn again: it may be what ends the processes.
        ending::give_back(tx, &held, TryOutcome::Interrupted, now, None).await?;
    }
    Ok(true)
}

async fn give_back_unread(tx: &DatabaseTransaction, announcer: Announcer, row: &jobs::Model, now: i64) -> Outcome<()> {
    sql::for_tenant(
        TenantId(row.tenant_id),
        "UPDATE jobs SET state = 'pending', attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END,
            interruptions = interruptions + 1, run_time = $3, history = $4, worker_id = NULL, lease_expire_time = NULL
            WHERE tenant_id = $1 AND id = $2",
        [row.id.into(), now.into(), history::with(row, TryOutcome::Interrupted, None, now)?.into()],
    )
    .execute(tx)
    .await?;
    announcer.ready(tx, row.id, &row.stage, now, &row.trace_id).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::ConnectionTrait as _;
    use vectrion_core::{ids::WorkerId, ports::Jobs as _};
    use vectrion_testkit::conformance::scenario::{LONG, Scenario};

    use super::*;
    use crate::test_database::database;

    async fn set(store: &Store, what: &str, document: DocumentId) {
        let text = format!("UPDATE jobs SET {what} WHERE document_id = x'{}'", document.0.simple());
        store.writer().execute_unprepared(&text).await.expect("changed");
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_makes_no_job_wait_for_it() {
        let (store, _directory) = database().await;
        let scenario = Scenario::new(&store).await;
        let me = WorkerId("host:1:me".to_owned());
        let queued = scenario.uploaded("queued", "1").await.id;
        let tried = scenario.uploaded("tried", "2").await.id;
        let put_off = scenario.uploaded("put off", "3").await.id;
        let hour = "(CAST(unixepoch('subsec') * 1000 AS INTEGER) + 3600000)";
        set(&store, &format!("run_time = {hour}, create_time = {hour}"), queued).await;
        set(&store, &format!("run_time = {hour} + 5000, start_time = {hour}"), tried).await;
        set(&store, &format!("run_time = {hour}, start_time = create_time"), put_off).await;
        assert_eq!(store.claim(&Stage::ALL, &me, LONG).await.expect("a look"), None);

        assert_eq!(store.reap(50).await.expect("a look"), 2);
        for _ in 0..2 {
            let lease = store.claim(&Stage::ALL, &me, LONG).await.expect("a claim").expect("a job");
            assert_ne!(lease.job.document, put_off);
        }
        assert_eq!(store.claim(&Stage::ALL, &me, LONG).await.expect("a look"), None, "its wait is meant");
        let plan = ahead("SELECT 1 FROM jobs", 9).plan(store.reader()).await;
        assert!(plan.contains("INDEX jobs_next (stage=? AND run_time>?)"), "{plan}");
    }

    #[tokio::test]
    async fn a_lease_of_a_clock_that_went_back_does_not_last_until_that_time_comes_again() {
        let (store, _directory) = database().await;
        let scenario = Scenario::new(&store).await;
        let now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        let mut documents = Vec::new();
        for (name, start, end) in
            [("dead", 600_000, 630_000), ("renewed since", 600_000, 30_000), ("alive", -5_000, 25_000)]
        {
            let document = scenario.uploaded(name, name).await.id;
            let lease = format!("start_time = {now} + {start}, lease_expire_time = {now} + {end}, lease_token = 1");
            set(&store, &format!("state = 'running', attempts = 1, {lease}"), document).await;
            documents.push(document);
        }

        assert_eq!(store.reap(50).await.expect("a look"), 1);
        let lease = scenario.claim(Stage::ProcessDocument).await;
        assert_eq!(lease.job.document, documents[0]);
        let plan = left_behind(store.backend(), Which::Expired).plan(store.reader()).await;
        assert!(plan.contains("INDEX jobs_leases") && !plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_read_keeps_nobody_from_the_others() {
        let (store, _directory) = database().await;
        let scenario = Scenario::new(&store).await;
        let damaged = scenario.uploaded("damaged", "1").await.id;
        let sound = scenario.uploaded("sound", "2").await.id;
        let running = "state = 'running', start_time = 1, lease_token = 1, attempts = 1";
        set(&store, &format!("{running}, lease_expire_time = 1, interruptions = 'many'"), damaged).await;
        set(&store, &format!("{running}, lease_expire_time = 2"), sound).await;

        assert_eq!(store.reap(50).await.expect_err("it is told").reason(), "DATABASE_ERROR");
        assert_eq!(scenario.claim(Stage::ProcessDocument).await.job.document, sound);
    }

    #[tokio::test]
    async fn jobs_of_a_newer_program_keep_nobody_from_the_others() {
        let (store, _directory) = database().await;
        let scenario = Scenario::new(&store).await;
        let (me, lease_for) = (WorkerId("host:1:me".to_owned()), Duration::from_secs(60));
        let newer = scenario.uploaded("newer", "1").await.id;
        let newer_running = scenario.uploaded("newer, running", "2").await.id;
        let known = scenario.uploaded("known", "3").await.id;
        let unknown = "payload = '{\"type\":\"process_v9\"}'";
        set(&store, &format!("{unknown}, run_time = 1"), newer).await;
        let running = format!("{unknown}, state = 'running', lease_token = 1, lease_expire_time = 1, attempts = 1");
        set(&store, &running, newer_running).await;
        set(&store, "state = 'running', lease_token = 1, lease_expire_time = 2, attempts = 1", known).await;

        assert_eq!(store.reap(50).await.expect("both are taken back"), 2);
        let lease = store.claim(&Stage::ALL, &me, lease_for).await.expect("a claim").expect("a job");
        assert_eq!((lease.job.document, lease.job.state), (known, JobState::Running));
        assert_eq!(store.claim(&Stage::ALL, &me, lease_for).await.expect("a look"), None, "the rest is left alone");
        let left: Vec<String> = sql::across_tenants("SELECT state FROM jobs WHERE payload LIKE '%process_v9%'", [])
            .scalars(store.reader())
            .await
            .expect("rows");
        assert_eq!(left, ["pending", "pending"]);
    }
}
