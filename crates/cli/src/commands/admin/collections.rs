//! `vectrion admin collections`.

use vectrion::client::Client;
use vectrion::v1::{
    Collection, CreateCollectionRequest, DeleteCollectionRequest, GetCollectionRequest, ListCollectionsRequest,
    UpdateCollectionRequest,
};

use super::PAGE;
use crate::{
    args::{CollectionsCommand, TenantArg},
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: CollectionsCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    let request_id = String::new();
    let collection = match command {
        CollectionsCommand::List { tenant } => {
            let mut page_token = String::new();
            loop {
                let request = ListCollectionsRequest { tenant: named(&tenant), page_size: PAGE, page_token };
                let response = admin.list_collections(request).await?.into_inner();
                for collection in &response.collections {
                    output.message("Collection", collection, describe)?;
                }
                page_token = response.next_page_token;
                if page_token.is_empty() {
                    return Ok(());
                }
            }
        }
        CollectionsCommand::Delete { collection, tenant } => {
            admin.delete_collection(DeleteCollectionRequest { tenant: named(&tenant), collection, request_id }).await?;
            output::note("deleted");
            return Ok(());
        }
        CollectionsCommand::Create { name, description, tenant } => {
            let request = CreateCollectionRequest { tenant: named(&tenant), name, description, request_id };
            admin.create_collection(request).await?.into_inner().collection
        }
        CollectionsCommand::Show { collection, tenant } => {
            let request = GetCollectionRequest { tenant: named(&tenant), collection };
            admin.get_collection(request).await?.into_inner().collection
        }
        CollectionsCommand::Update { collection, name, description, tenant } => {
            let request = UpdateCollectionRequest { tenant: named(&tenant), collection, name, description, request_id };
            admin.update_collection(request).await?.into_inner().collection
        }
    };
    output.message("Collection", &collection.unwrap_or_default(), describe)
}

fn named(tenant: &TenantArg) -> String {
    tenant.tenant.clone().unwrap_or_default()
}

fn describe(collection: &Collection) -> String {
    format!(
        "{}  {}  {} documents, {} chunks  {}",
        collection.collection_id,
        collection.name,
        collection.document_count,
        collection.chunk_count,
        collection.description
    )
}
