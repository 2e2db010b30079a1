//! That the queries which run often, or over much, use their indexes.

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};

use crate::sqlite::database;

async fn plan(connection: &DatabaseConnection, sql: &str) -> String {
    let explained = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = connection.query_all_raw(explained).await.expect("a plan");
    let lines: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("a line")).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_claim_neither_scans_nor_sorts_the_jobs() {
    let (_store, directory) = database().await;
    let url = format!("sqlite://{}/vectrion.db", directory.path().display());
    let connection = Database::connect(url).await.expect("the file");

    let next_tenant = "SELECT tenant_id FROM jobs WHERE state = 'pending' AND stage = 'x' AND tenant_id > x'00'
        ORDER BY tenant_id LIMIT 1";
    let oldest = "SELECT id FROM jobs j WHERE state = 'pending' AND stage = 'x' AND tenant_id = x'00' AND run_time <= 9
        AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.document_id = j.document_id
            AND r.lease_expire_time > 9) ORDER BY j.run_time, j.id LIMIT 1";
    for sql in [next_tenant, oldest] {
        let plan = plan(&connection, sql).await;
        assert!(plan.contains("jobs_pending") && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
    let plan = plan(&connection, oldest).await;
    assert!(plan.contains("jobs_running_document"), "{plan}");
}
