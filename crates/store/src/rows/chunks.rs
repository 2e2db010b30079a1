//! Chunks of versions.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "chunks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub document_id: Uuid,
        pub version_id: Uuid,
        pub ordinal: i32,
        pub content: String,
        pub char_start: i64,
        pub char_end: i64,
        pub page_start: i32,
        pub page_end: i32,
        pub boxes: String,
        pub heading_path: String,
        pub token_count: i32,
        pub token_ids: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: delete, insert_all);
