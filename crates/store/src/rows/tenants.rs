//! Tenants. They belong to the installation.

mod table {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub revision: i64,
        pub history_floor: i64,
        pub create_time: i64,
        pub update_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use table::{Column, Model};

/// The tenants of the installation.
pub(crate) fn across_tenants() -> sea_orm::Select<table::Entity> {
    use sea_orm::EntityTrait as _;
    table::Entity::find()
}

crate::rows::doors!(table: insert);
