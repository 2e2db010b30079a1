//! Documents.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "documents")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub collection_id: Uuid,
        pub external_id: String,
        pub newest_version_id: Uuid,
        pub newest_version: i32,
        pub newest_sha256: Vec<u8>,
        pub filename: String,
        pub state: String,
        pub deleting: bool,
        pub indexed_version_id: Option<Uuid>,
        pub indexed_version: Option<i32>,
        pub indexed_chunks: i64,
        pub metadata: String,
        pub create_time: i64,
        pub update_time: i64,
        pub revision: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, delete, insert);
