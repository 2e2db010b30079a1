//! Answers.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "answers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub key_id: Uuid,
        pub question: String,
        pub model: String,
        pub prompt_version: String,
        pub redacted: bool,
        pub cancel_requested: bool,
        pub create_time: i64,
        pub event_time: i64,
        pub end_time: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, insert);
