//! Dead letters.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "dead_letters")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub job_id: Uuid,
        pub document_id: Uuid,
        pub version_id: Option<Uuid>,
        pub stage: String,
        pub reason: String,
        pub message: String,
        pub attempts: i32,
        pub trace_id: String,
        pub create_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, delete, insert);
