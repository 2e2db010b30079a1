//! Versions of documents.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "document_versions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub document_id: Uuid,
        pub number: i32,
        pub filename: String,
        pub title: Option<String>,
        pub content_type: String,
        pub size: i64,
        pub sha256: Vec<u8>,
        pub state: String,
        pub pages_total: i32,
        pub pages_done: i32,
        pub chunks_total: i32,
        pub chunks_done: i32,
        pub page_count: i32,
        pub chunk_count: i32,
        pub failure: Option<String>,
        pub warnings: String,
        pub create_time: i64,
        pub update_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, delete, insert);
