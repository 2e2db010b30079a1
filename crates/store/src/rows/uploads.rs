//! Uploads in progress.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "uploads")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub version_id: Uuid,
        pub collection_id: Uuid,
        pub external_id: String,
        pub filename: String,
        pub size: Option<i64>,
        pub sha256: Option<Vec<u8>>,
        pub metadata: Option<String>,
        pub allow_duplicate: bool,
        pub committed: i64,
        pub one_call: bool,
        pub create_time: i64,
        pub expire_time: i64,
        pub claim_token: i64,
        pub claim_expire_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

crate::rows::doors!(table: delete, insert);
