//! I1 to I6, looked at from outside and in database, index and object store.

mod broker;
mod contents;

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;
use vectrion::v1::ListDeadLettersRequest;

use crate::{
    environment::Installation,
    load::{Expected, Load, UNARY_DEADLINE, documents::is_of_another},
};

/// A document may be where it is for the time of a lease and this time.
pub const LEASE_AND_A_MINUTE: Duration = Duration::from_secs(62);
/// What is left behind calls and jobs is gone within this time.
const BEHIND: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);
/// Documents of a tenant that are searched for one by one.
const SEARCHED: usize = 4;
/// Bounds of a process, of a debug build.
const MAX_RESIDENT: u64 = 1 << 30;
const MAX_DESCRIPTORS: usize = 1000;
/// Connections of a process to the database.
const MAX_CONNECTIONS: i64 = 8;

/// What was found.
pub struct Findings {
    /// Time until everything was where it is to be.
    pub settled: Duration,
    pub violations: Vec<String>,
}

/// Waits until everything is where it is to be, then looks at everything.
pub async fn check(installation: &mut Installation, load: &Load) -> Result<Findings> {
    let settled = match load.settle(LEASE_AND_A_MINUTE).await {
        Ok(settled) => settled,
        Err(error) => {
            println!("    jobs that are not ended: {}", unended(installation).await?);
            return Err(error);
        }
    };
    let mut violations = Vec::new();
    quiet(installation, &mut violations).await?;
    violations.extend(contents::check(installation, load).await?);
    searches(load, &mut violations).await?;
    dead_letters(load, &mut violations).await?;
    bounds(installation, &mut violations).await?;
    violations.extend(broker::check(installation).await?);
    Ok(Findings { settled, violations })
}

/// What there is to know of jobs that are not ended, as JSON.
async fn unended(installation: &Installation) -> Result<String> {
    let query = "SELECT COALESCE(json_agg(row_to_json(j)), '[]')::text FROM (SELECT *,
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now
        FROM jobs WHERE state IN ('pending', 'running') ORDER BY run_time LIMIT 10) j";
    let mut connection = installation.sql().await?;
    Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
}

/// I1: no job is left, and nothing waits to be published.
async fn quiet(installation: &Installation, violations: &mut Vec<String>) -> Result<()> {
    let left = [
        ("jobs that are not ended", "SELECT COUNT(*) FROM jobs WHERE state IN ('pending', 'running')"),
        ("rows in the outbox", "SELECT COUNT(*) FROM outbox"),
    ];
    for (what, query) in left {
        let start = Instant::now();
        loop {
            let count = installation.number(query).await?;
            if count == 0 {
                break;
            }
            if start.elapsed() > LEASE_AND_A_MINUTE {
                violations.push(format!("I1: {count} {what} after {LEASE_AND_A_MINUTE:?}"));
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// I3: what is indexed is found by its word, of its tenant and of no other; what is gone is not.
async fn searches(load: &Load, violations: &mut Vec<String>) -> Result<()> {
    for tenant in 0..load.tenants.len() {
        let entries: Vec<_> = load.entries().into_iter().filter(|entry| entry.tenant == tenant).collect();
        let newest =
            |expected: Expected| entries.iter().rev().filter(move |entry| entry.expected == expected).take(SEARCHED);
        for server in 0..load.tenants[tenant].clients.len() {
            for entry in newest(Expected::Indexed) {
                let found = load.search(server, tenant, &entry.marker).await?;
                if !found.iter().any(|passage| passage.document_id == entry.document_id) {
                    violations.push(format!("I3: {} is indexed and not found by its word", entry.external_id));
                }
                for passage in &found {
                    let own = entries.iter().find(|entry| entry.document_id == passage.document_id);
                    let lives =
                        own.is_some_and(|entry| matches!(entry.expected, Expected::Indexed | Expected::Settled));
                    if !lives || is_of_another(tenant, &passage.text) {
                        violations.push(format!("I3: a search saw {}, expected {own:?}", passage.document_id));
                    }
                }
            }
            for entry in newest(Expected::Gone) {
                let found = load.search(server, tenant, &entry.marker).await?;
                if found.iter().any(|passage| passage.document_id == entry.document_id) {
                    violations.push(format!("I3: {} is gone and found", entry.external_id));
                }
            }
        }
    }
    Ok(())
}

/// I4: every dead letter says what is the matter, and every document that failed has one.
async fn dead_letters(load: &Load, violations: &mut Vec<String>) -> Result<()> {
    for (tenant, of) in load.tenants.iter().enumerate() {
        let mut client = of.clients[0].admin();
        let request = ListDeadLettersRequest { page_size: 1000, ..ListDeadLettersRequest::default() };
        let call = async { client.list_dead_letters(request).await };
        let letters = load.calls.watch("ListDeadLetters", UNARY_DEADLINE, call).await?.dead_letters;
        for letter in &letters {
            let has_all =
                [&letter.reason, &letter.stage, &letter.message, &letter.trace_id].iter().all(|text| !text.is_empty());
            if !has_all || letter.attempts < 1 {
                violations.push(format!("I4: a dead letter without all that it is to carry: {letter:?}"));
            }
        }
        for entry in load.entries() {
            let failed = entry.tenant == tenant && matches!(entry.expected, Expected::Failed(_));
            if failed && !letters.iter().any(|letter| letter.document_id == entry.document_id) {
                violations.push(format!("I4: {} failed without a dead letter", entry.external_id));
            }
        }
    }
    Ok(())
}

/// I6: memory, files and connections are bounded, and readiness is true again.
async fn bounds(installation: &mut Installation, violations: &mut Vec<String>) -> Result<()> {
    let mut connection = installation.sql().await?;
    let query =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vectrion'";
    let connections: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
    let processes = i64::try_from(installation.processes().count())?;
    if connections > MAX_CONNECTIONS * processes {
        violations.push(format!("I6: {connections} connections to the database from {processes} processes"));
    }
    for process in installation.processes() {
        let (resident, descriptors) = (process.resident(), process.descriptors());
        if resident > MAX_RESIDENT || descriptors > MAX_DESCRIPTORS {
            let mib = resident >> 20;
            violations.push(format!("I6: {} has {mib} MiB and {descriptors} descriptors", process.name));
        }
        let start = Instant::now();
        while process.health().await.trim() != "ok" {
            if start.elapsed() > BEHIND {
                violations.push(format!("I6: {} says after {BEHIND:?}: {}", process.name, process.health().await));
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}
