//! Jobs.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "jobs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub document_id: Uuid,
        pub version_id: Option<Uuid>,
        pub stage: String,
        pub payload: String,
        pub state: String,
        pub attempts: i32,
        pub max_attempts: i32,
        pub interruptions: i32,
        pub run_time: i64,
        pub worker_id: Option<String>,
        pub lease_token: i64,
        pub lease_expire_time: Option<i64>,
        pub last_error: Option<String>,
        pub trace_id: String,
        pub create_time: i64,
        pub start_time: Option<i64>,
        pub end_time: Option<i64>,
        pub cancel_time: Option<i64>,
        pub history: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, insert);
