//! Statements written once for both databases.

use sea_orm_migration::SchemaManager;
use sea_orm_migration::sea_orm::{ConnectionTrait as _, DbBackend, DbErr};

/// The words in which the databases differ, and what each says.
///
/// `{name}` is text that is compared and ordered by its bytes, whatever the language of the database: tokens of pages
/// and the uniqueness of names rely on it. SQLite does so by itself.
const WORDS: [(&str, &str, &str); 4] = [
    ("{uuid}", "BLOB", "UUID"),
    ("{bytes}", "BLOB", "BYTEA"),
    ("{name}", "TEXT", "TEXT COLLATE \"C\""),
    ("{clustered}", " WITHOUT ROWID", ""),
];

/// Runs statements in order.
pub(crate) async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let backend = connection.get_database_backend();
    for statement in statements {
        connection.execute_unprepared(&render(statement, backend)).await?;
    }
    Ok(())
}

fn render(statement: &str, backend: DbBackend) -> String {
    WORDS.iter().fold(statement.to_owned(), |text, (word, sqlite, postgres)| {
        text.replace(word, if backend == DbBackend::Postgres { postgres } else { sqlite })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_its_own_words() {
        let statement = "CREATE TABLE t (id {uuid}, n {name}, b {bytes}){clustered}";
        assert_eq!(render(statement, DbBackend::Sqlite), "CREATE TABLE t (id BLOB, n TEXT, b BLOB) WITHOUT ROWID");
        assert_eq!(render(statement, DbBackend::Postgres), "CREATE TABLE t (id UUID, n TEXT COLLATE \"C\", b BYTEA)");
    }
}
