//! That no read forgets its tenant.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};

use crate::sqlite::database;

/// Files that speak of the whole installation, and why.
const ACROSS_TENANTS: [(&str, &str); 21] = [
    ("answers/retention.rs", "housekeeping ends and removes answers of all tenants"),
    ("catalog/history.rs", "housekeeping trims, and the metrics count, over all tenants"),
    ("connect.rs", "looks whether the database answers"),
    ("connect/tests.rs", "looks at settings"),
    ("directory/keys.rs", "a key's secret is what finds its tenant"),
    ("directory/tenants.rs", "tenants belong to the installation"),
    ("answers/presence.rs", "a server looks after the answers that it writes, whoever they belong to"),
    ("idempotency.rs", "housekeeping removes outcomes of all tenants"),
    ("jobs/claim.rs", "a claim is fair between tenants"),
    ("jobs/deletion.rs", "looks whether any deletion waits"),
    ("jobs/depth.rs", "the metrics count over all tenants"),
    ("jobs/reaping.rs", "a dead worker held jobs of any tenant"),
    ("jobs/status.rs", "an operator watches the queues of all tenants"),
    ("jobs/workers.rs", "workers belong to the installation"),
    ("outbox.rs", "the relay publishes wake-ups of all tenants"),
    ("schema.rs", "migrations"),
    ("upkeep/chores.rs", "chores belong to the installation"),
    ("upkeep/lifecycle.rs", "housekeeping applies the policies of all tenants"),
    ("upkeep/receipts.rs", "housekeeping verifies and forgets the deletions of all tenants"),
    ("uploads.rs", "housekeeping removes expired uploads of all tenants"),
    ("uploads/claims.rs", "housekeeping forgets what became of uploads of all tenants"),
];

fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let name = |path: &Path| path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").replace('\\', "/");
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("a source file"))).collect()
}

#[test]
fn tables_are_reached_through_their_doors_only() {
    for (name, source) in sources() {
        if name.starts_with("rows/") {
            // The module that holds the entity is private: naming it elsewhere does not compile.
            assert!(source.contains("\nmod table {") && !source.contains("pub(crate) mod table"), "{name}");
            let given_out = source.lines().filter(|line| line.contains("use table::")).collect::<Vec<_>>();
            assert!(given_out.iter().all(|line| !line.contains("Entity")), "{name}: {given_out:?}");
        } else if name != "rows.rs" {
            for way_round in ["EntityTrait", "::Entity", "from_sql_and_values", "Statement::"] {
                let allowed = name == "sql.rs" && way_round != "EntityTrait";
                assert!(allowed || !source.contains(way_round), "{name} uses {way_round}");
            }
        }
    }
}

#[test]
fn only_what_belongs_to_the_installation_crosses_tenants() {
    let crossing: Vec<String> = sources()
        .into_iter()
        .filter(|(name, source)| source.contains("across_tenants(") && !matches!(name.as_str(), "sql.rs" | "time.rs"))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("rows/"))
        .collect();
    for name in &crossing {
        assert!(ACROSS_TENANTS.iter().any(|(file, _)| file == name), "{name} crosses tenants: say why in this list");
    }
    for (file, _) in ACROSS_TENANTS {
        assert!(crossing.iter().any(|name| name == file), "{file} does not cross tenants any more");
    }
}

/// A job that is made ready without being announced waits until somebody looks.
#[test]
fn whatever_makes_a_job_ready_announces_it() {
    let mut found = 0;
    for (name, source) in sources() {
        let source = source.split("#[cfg(test)]").next().expect("a part");
        let ready = source.matches("state = 'pending',").count() + source.matches("JobState::Pending.as_str()").count();
        let announced = source.matches(".ready(").count();
        assert_eq!(ready, announced, "{name}: every row that becomes `pending` is given to the announcer");
        found += ready;
    }
    assert!(found >= 3, "{found} places");
}

#[tokio::test]
async fn every_table_of_tenants_says_whose_each_row_is() {
    let (_store, directory) = database().await;
    let url = format!("sqlite://{}/vectrion.db", directory.path().display());
    let connection = Database::connect(url).await.expect("the file");
    let names = async |sql: String| -> Vec<String> {
        let rows = connection.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.expect("rows");
        rows.iter().map(|row| row.try_get_by_index(0).expect("a name")).collect()
    };
    let tables = names("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'".into()).await;
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables {
        let columns = names(format!("SELECT name FROM pragma_table_info('{table}')")).await;
        let of_installation =
            matches!(table.as_str(), "tenants" | "workers" | "chores" | "outbox" | "schema_migrations");
        assert_eq!(columns.contains(&"tenant_id".to_owned()), !of_installation, "{table}: {columns:?}");
    }
}
