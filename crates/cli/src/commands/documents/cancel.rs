//! `vectrion documents cancel`.

use std::time::Duration;

use vectrion::{
    client::Client,
    v1::{CancelDocumentRequest, Document, DocumentState, GetDocumentRequest},
};

use crate::{
    failure::Failure,
    output::{self, Output},
};

/// A worker that is alive ends its work within about a second.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(client: &Client, output: &Output, ids: Vec<String>) -> Result<(), Failure> {
    let mut under_way = Vec::new();
    for document_id in ids {
        let request = CancelDocumentRequest { document_id, request_id: String::new() };
        let response = client.ingestion().cancel_document(request).await?.into_inner();
        under_way.push(response.document.unwrap_or_default());
    }
    for document in under_way {
        let ended = tokio::time::timeout(PATIENCE, end_of(client, document.clone())).await;
        let document = ended.unwrap_or_else(|_| {
            output::note("a worker that cannot be reached has it in hand; it ends when its lease does");
            Ok(document)
        })?;
        output.message("Document", &document, super::describe)?;
    }
    Ok(())
}

async fn end_of(client: &Client, mut document: Document) -> Result<Document, Failure> {
    let version = document.version;
    while document.version == version && !matches!(document.state(), DocumentState::Failed | DocumentState::Deleting) {
        tokio::time::sleep(LOOK_EVERY).await;
        let request = GetDocumentRequest { document_id: document.document_id.clone() };
        document = client.ingestion().get_document(request).await?.into_inner().document.unwrap_or_default();
    }
    Ok(document)
}
