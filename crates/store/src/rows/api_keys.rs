//! API keys.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub name: String,
        pub role: String,
        pub prefix: String,
        pub hash: Vec<u8>,
        pub create_time: i64,
        pub expire_time: Option<i64>,
        pub revoke_time: Option<i64>,
        pub last_use_time: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: read, delete, insert);
