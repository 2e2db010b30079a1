//! The tables. Each is private to its module, which gives out its columns, its rows, and doors that know their tenant.

pub(crate) mod answers;
pub(crate) mod api_keys;
pub(crate) mod chunks;
pub(crate) mod collections;
pub(crate) mod dead_letters;
pub(crate) mod document_metadata;
pub(crate) mod document_versions;
pub(crate) mod documents;
pub(crate) mod jobs;
pub(crate) mod pages;
pub(crate) mod tenants;
pub(crate) mod uploads;

/// Rows of an insert statement at the most: with up to 20 columns well within SQLite's 32,766 and PostgreSQL's 65,535
/// parameters.
pub(crate) const INSERT_ROWS: usize = 500;

/// The doors of a table whose rows belong to tenants.
macro_rules! doors {
    ($table:ident: $($door:ident),+) => {
        $(crate::rows::doors!(@ $table $door);)+
    };
    (@ $table:ident read) => {
        /// Rows of one tenant.
        pub(crate) fn for_tenant(tenant: vectrion_core::ids::TenantId) -> sea_orm::Select<$table::Entity> {
            use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
            $table::Entity::find().filter($table::Column::TenantId.eq(tenant.0))
        }
    };
    (@ $table:ident delete) => {
        /// Removes rows of one tenant.
        pub(crate) fn delete_for_tenant(
            tenant: vectrion_core::ids::TenantId,
        ) -> sea_orm::DeleteMany<$table::Entity> {
            use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
            $table::Entity::delete_many().filter($table::Column::TenantId.eq(tenant.0))
        }
    };
    (@ $table:ident insert) => {
        /// Writes a row.
        pub(crate) async fn insert<C: sea_orm::ConnectionTrait>(
            connection: &C,
            row: $table::Model,
        ) -> Result<(), sea_orm::DbErr> {
            use sea_orm::EntityTrait as _;
            let row = sea_orm::IntoActiveModel::into_active_model(row);
            $table::Entity::insert(row).exec_without_returning(connection).await.map(drop)
        }
    };
    (@ $table:ident insert_all) => {
        /// Writes rows, many in a statement.
        pub(crate) async fn insert_all<C: sea_orm::ConnectionTrait>(
            connection: &C,
            rows: Vec<$table::Model>,
        ) -> Result<(), sea_orm::DbErr> {
            use sea_orm::EntityTrait as _;
            let mut rows = rows.into_iter().map(sea_orm::IntoActiveModel::into_active_model).peekable();
            while rows.peek().is_some() {
                let batch = rows.by_ref().take(crate::rows::INSERT_ROWS);
                $table::Entity::insert_many(batch).exec_without_returning(connection).await?;
            }
            Ok(())
        }
    };
}
pub(crate) use doors;

/// A count or position as a column holds it.
pub(crate) fn column(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A count or position as it was before [`column`].
pub(crate) fn number<N: TryInto<u32>>(column: N) -> u32 {
    column.try_into().unwrap_or(0)
}

/// A size as a column holds it.
pub(crate) fn size_column(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A size or count as it was before [`size_column`].
pub(crate) fn size(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
