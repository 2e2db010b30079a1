//! Statements that entities cannot say well: joins, updates by expression, upserts.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement, Value};
use uuid::Uuid;
use vectrion_core::ids::TenantId;

/// A statement with its values. Parameters are written `$1`, `$2`, … for both databases.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

/// A statement about the rows of one tenant. The tenant is `$1`; `values` are `$2`, `$3`, …
///
/// Every table of tenants that is read or changed needs a condition on it; a statement without any is a defect, and
/// panics in builds with debug assertions.
pub(crate) fn for_tenant<const N: usize>(tenant: TenantId, text: impl Into<String>, values: [Value; N]) -> Sql {
    let text = text.into();
    debug_assert!(
        text.contains("tenant_id = $1") || text.contains("tenants WHERE id = $1") || text.contains("VALUES ($1,"),
        "no condition on the tenant: {text}"
    );
    let mut all = Vec::with_capacity(N + 1);
    all.push(tenant.0.into());
    all.extend(values);
    Sql { text, values: all }
}

/// A change of one row of a tenant. `set` appends what is set; `before` goes before it, such as a `WITH`. The tenant is
/// `$1`, the row's id `$2`.
pub(crate) fn update_row(tenant: TenantId, before: &str, table: &str, id: Uuid, set: impl FnOnce(&mut Sql)) -> Sql {
    let mut query = Sql { text: format!("{before}UPDATE {table} SET "), values: vec![tenant.0.into(), id.into()] };
    set(&mut query);
    query.push(" WHERE tenant_id = $1 AND id = $2");
    query
}

/// A statement about the whole installation: claims, reaping, metrics, retention, tenants themselves. `values` are
/// `$1`, `$2`, …
pub(crate) fn across_tenants<const N: usize>(text: impl Into<String>, values: [Value; N]) -> Sql {
    Sql { text: text.into(), values: values.into() }
}

impl Sql {
    /// Appends text.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a parameter.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        use std::fmt::Write as _;
        self.values.push(value.into());
        write!(self.text, "${}", self.values.len()).expect("writing to a string does not fail");
        self
    }

    /// Appends parameters in parentheses, for `IN`. An empty list is met by nothing.
    pub(crate) fn bind_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return self.push("(NULL)");
        };
        self.push("(").bind(first);
        for value in values {
            self.push(", ").bind(value);
        }
        self.push(")")
    }

    /// Appends columns and their new values, for `SET`.
    pub(crate) fn assign(&mut self, columns: Vec<(&str, Value)>) -> &mut Self {
        for (column, value) in columns {
            self.push(", ").push(column).push(" = ").bind(value);
        }
        self
    }

    /// Runs it and gives the number of rows changed.
    pub(crate) async fn execute<C: ConnectionTrait>(self, connection: &C) -> Result<u64, DbErr> {
        let statement = self.into_statement(connection);
        Ok(connection.execute_raw(statement).await?.rows_affected())
    }

    /// The first row, if any.
    pub(crate) async fn one<R: FromQueryResult, C: ConnectionTrait>(self, connection: &C) -> Result<Option<R>, DbErr> {
        let statement = self.into_statement(connection);
        connection.query_one_raw(statement).await?.map(|row| R::from_query_result(&row, "")).transpose()
    }

    /// All rows.
    pub(crate) async fn all<R: FromQueryResult, C: ConnectionTrait>(self, connection: &C) -> Result<Vec<R>, DbErr> {
        let statement = self.into_statement(connection);
        connection.query_all_raw(statement).await?.iter().map(|row| R::from_query_result(row, "")).collect()
    }

    /// The first column of the first row, if any.
    pub(crate) async fn scalar<T: sea_orm::TryGetable, C: ConnectionTrait>(
        self,
        connection: &C,
    ) -> Result<Option<T>, DbErr> {
        let statement = self.into_statement(connection);
        connection.query_one_raw(statement).await?.map(|row| first_column(&row)).transpose()
    }

    /// The first column of every row.
    pub(crate) async fn scalars<T: sea_orm::TryGetable, C: ConnectionTrait>(
        self,
        connection: &C,
    ) -> Result<Vec<T>, DbErr> {
        let statement = self.into_statement(connection);
        connection.query_all_raw(statement).await?.iter().map(first_column).collect()
    }

    /// The lines of SQLite's plan for it.
    #[cfg(test)]
    pub(crate) async fn plan<C: ConnectionTrait>(mut self, connection: &C) -> String {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let statement = self.into_statement(connection);
        let rows = connection.query_all_raw(statement).await.expect("a plan");
        let lines: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("a line")).collect();
        lines.join("\n")
    }

    fn into_statement<C: ConnectionTrait>(self, connection: &C) -> Statement {
        Statement::from_sql_and_values(connection.get_database_backend(), self.text, self.values)
    }
}

fn first_column<T: sea_orm::TryGetable>(row: &QueryResult) -> Result<T, DbErr> {
    row.try_get_by_index(0)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn parameters_are_numbered_after_the_tenant() {
        let mut sql = for_tenant(
            TenantId(Uuid::nil()),
            "SELECT 1 FROM jobs WHERE tenant_id = $1 AND id = $2",
            [Uuid::nil().into()],
        );
        sql.push(" AND state IN ").bind_list(["a", "b"]).push(" AND x IN ").bind_list(Vec::<String>::new());
        assert_eq!(
            sql.text,
            "SELECT 1 FROM jobs WHERE tenant_id = $1 AND id = $2 AND state IN ($3, $4) AND x IN (NULL)"
        );
        assert_eq!(sql.values.len(), 4);
    }

    #[test]
    #[should_panic(expected = "no condition on the tenant")]
    fn a_statement_that_forgets_the_tenant_is_refused() {
        let _ = for_tenant(TenantId(Uuid::nil()), "SELECT 1 FROM jobs WHERE id = $2", [Uuid::nil().into()]);
    }
}
