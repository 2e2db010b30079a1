//! `vectrion documents`.

mod cancel;
mod receipts;

use std::io::{IsTerminal as _, Write as _};

use tokio::io::AsyncWriteExt as _;
use vectrion::client::Client;
use vectrion::v1::{
    Chunk, ContentKind, DeleteDocumentRequest, Document, DocumentFilter, DocumentState, GetDocumentContentRequest,
    GetDocumentRequest, ListChunksRequest, ListDocumentVersionsRequest, ListDocumentsRequest, ListPagesRequest,
    PageInfo, RetryDocumentRequest, UpdateDocumentRequest, WatchDocumentsRequest, WatchDocumentsResponse,
    watch_documents_response::Event,
};

use super::values;
use crate::{
    args::{DocumentsCommand, State},
    failure::Failure,
    output::{self, Output},
};

/// Rows asked for at once.
const PAGE: i32 = 200;

pub(crate) async fn run(client: &Client, output: &Output, command: DocumentsCommand) -> Result<(), Failure> {
    match command {
        DocumentsCommand::List { collection, state, filename, filter, order_by, limit } => {
            let filter = DocumentFilter {
                collection: collection.unwrap_or_default(),
                states: state.into_iter().map(|state| document_state(state).into()).collect(),
                filename_contains: filename.unwrap_or_default(),
                metadata: values::conditions(&filter)?,
                ..DocumentFilter::default()
            };
            list(client, output, filter, order_by, limit.unwrap_or(usize::MAX)).await
        }
        DocumentsCommand::Show { id } => {
            let response = client.ingestion().get_document(GetDocumentRequest { document_id: id }).await?;
            output.message("Document", &response.into_inner().document.unwrap_or_default(), detail)
        }
        DocumentsCommand::Versions { id } => versions(client, output, id).await,
        DocumentsCommand::Chunks { id, version } => chunks(client, output, id, number(version)).await,
        DocumentsCommand::Pages { id, version } => pages(client, output, id, number(version)).await,
        DocumentsCommand::Download { id, version, text, output: path } => {
            let kind = if text { ContentKind::Text } else { ContentKind::Original };
            let request = GetDocumentContentRequest {
                document_id: id,
                version: number(version),
                kind: kind.into(),
                read_offset: 0,
            };
            download(client, request, path).await
        }
        DocumentsCommand::Watch { collection, ids, after } => {
            let filter = DocumentFilter {
                collection: collection.unwrap_or_default(),
                document_ids: ids,
                ..DocumentFilter::default()
            };
            watch(client, output, WatchDocumentsRequest { filter: Some(filter), after_revision: after }).await
        }
        DocumentsCommand::Update { id, metadata } => {
            let metadata = Some(values::metadata(&metadata)?.unwrap_or_default());
            let request = UpdateDocumentRequest { document_id: id, metadata, request_id: String::new() };
            let response = client.ingestion().update_document(request).await?;
            output.message("Document", &response.into_inner().document.unwrap_or_default(), detail)
        }
        DocumentsCommand::Retry { id } => {
            let request = RetryDocumentRequest { document_id: id, request_id: String::new() };
            let response = client.ingestion().retry_document(request).await?;
            output.message("Document", &response.into_inner().document.unwrap_or_default(), describe)
        }
        DocumentsCommand::Cancel { ids } => cancel::run(client, output, ids).await,
        DocumentsCommand::Receipt { ids, limit } => receipts::run(client, output, ids, limit).await,
        DocumentsCommand::Delete { ids, yes } => delete(client, output, ids, yes).await,
    }
}

/// 0 means the newest version.
fn number(version: Option<u32>) -> i32 {
    version.and_then(|version| i32::try_from(version).ok()).unwrap_or(0)
}

fn document_state(state: State) -> DocumentState {
    match state {
        State::Uploaded => DocumentState::Uploaded,
        State::Processing => DocumentState::Processing,
        State::Processed => DocumentState::Processed,
        State::Embedding => DocumentState::Embedding,
        State::Indexed => DocumentState::Indexed,
        State::Failed => DocumentState::Failed,
        State::Deleting => DocumentState::Deleting,
    }
}

async fn list(
    client: &Client,
    output: &Output,
    filter: DocumentFilter,
    order_by: String,
    limit: usize,
) -> Result<(), Failure> {
    let mut page_token = String::new();
    let mut shown = 0;
    loop {
        let request = ListDocumentsRequest {
            filter: Some(filter.clone()),
            order_by: order_by.clone(),
            page_size: PAGE,
            page_token,
        };
        let response = client.ingestion().list_documents(request).await?.into_inner();
        for document in response.documents.iter().take(limit - shown) {
            output.message("Document", document, describe)?;
        }
        shown += response.documents.len().min(limit - shown);
        page_token = response.next_page_token;
        if page_token.is_empty() || shown >= limit {
            return Ok(());
        }
    }
}

async fn versions(client: &Client, output: &Output, document_id: String) -> Result<(), Failure> {
    let mut page_token = String::new();
    loop {
        let request = ListDocumentVersionsRequest { document_id: document_id.clone(), page_size: PAGE, page_token };
        let response = client.ingestion().list_document_versions(request).await?.into_inner();
        for document in &response.documents {
            output
                .message("Document", document, |document| format!("v{}  {}", document.version, describe(document)))?;
        }
        page_token = response.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn chunks(client: &Client, output: &Output, document_id: String, version: i32) -> Result<(), Failure> {
    let mut page_token = String::new();
    loop {
        let request = ListChunksRequest { document_id: document_id.clone(), version, page_size: PAGE, page_token };
        let response = client.ingestion().list_chunks(request).await?.into_inner();
        for chunk in &response.chunks {
            output.message("Chunk", chunk, describe_chunk)?;
        }
        page_token = response.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn describe_chunk(chunk: &Chunk) -> String {
    format!(
        "#{}  pages {}-{}  {} tokens  {}\n{}\n",
        chunk.ordinal,
        chunk.page_start,
        chunk.page_end,
        chunk.token_count,
        chunk.heading_path.join(" › "),
        chunk.text.trim(),
    )
}

async fn pages(client: &Client, output: &Output, document_id: String, version: i32) -> Result<(), Failure> {
    let mut page_token = String::new();
    loop {
        let request = ListPagesRequest { document_id: document_id.clone(), version, page_size: PAGE, page_token };
        let response = client.ingestion().list_pages(request).await?.into_inner();
        for page in &response.pages {
            output.message("PageInfo", page, |page: &PageInfo| {
                format!(
                    "page {}  {:.0} x {:.0} pt  rotated {}°  characters {}-{}",
                    page.number, page.width, page.height, page.rotation, page.char_start, page.char_end
                )
            })?;
        }
        page_token = response.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn download(
    client: &Client,
    request: GetDocumentContentRequest,
    path: Option<std::path::PathBuf>,
) -> Result<(), Failure> {
    let mut stream = client.ingestion().get_document_content(request).await?.into_inner();
    let mut target: Box<dyn tokio::io::AsyncWrite + Unpin> = match &path {
        Some(path) => Box::new(tokio::fs::File::create(path).await?),
        None => Box::new(tokio::io::stdout()),
    };
    while let Some(message) = stream.message().await? {
        target.write_all(&message.data).await?;
    }
    target.flush().await?;
    Ok(())
}

async fn watch(client: &Client, output: &Output, request: WatchDocumentsRequest) -> Result<(), Failure> {
    let mut stream = client.ingestion().watch_documents(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let quiet = matches!(message.event, Some(Event::Heartbeat(_)) | None);
        if output.is_json() || !quiet {
            output.message("WatchDocumentsResponse", &message, describe_change)?;
        }
    }
    Ok(())
}

fn describe_change(message: &WatchDocumentsResponse) -> String {
    match &message.event {
        Some(Event::Changed(document)) => format!("{:>6}  {}", message.revision, describe(document)),
        Some(Event::Removed(removed)) => format!("{:>6}  {}  gone", message.revision, removed.document_id),
        Some(Event::Resync(_)) => format!("{:>6}  history is gone: list the documents again", message.revision),
        Some(Event::Heartbeat(_)) | None => String::new(),
    }
}

async fn delete(client: &Client, output: &Output, ids: Vec<String>, yes: bool) -> Result<(), Failure> {
    if !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        eprint!("Delete {} with all chunks, vectors and bytes? [y/N] ", output::counted(ids.len(), "document"));
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            output::note("nothing was deleted");
            return Err(Failure::Partly);
        }
    }
    for document_id in ids {
        let request = DeleteDocumentRequest { document_id, request_id: String::new() };
        let response = client.ingestion().delete_document(request).await?;
        output.message("Document", &response.into_inner().document.unwrap_or_default(), describe)?;
    }
    Ok(())
}

fn state_name(document: &Document) -> String {
    document.state().as_str_name().trim_start_matches("DOCUMENT_STATE_").to_lowercase()
}

/// A document in a line.
pub(crate) fn describe(document: &Document) -> String {
    let id = if document.document_id.is_empty() { "-".repeat(36) } else { document.document_id.clone() };
    let extent = match document.state() {
        DocumentState::Failed => document.failure.as_ref().map_or_else(String::new, |failure| {
            format!("{} in {}: {}", failure.reason, failure.stage, failure.message)
        }),
        _ => format!(
            "{}, {}",
            output::counted(usize::try_from(document.page_count).unwrap_or(0), "page"),
            output::counted(usize::try_from(document.chunk_count).unwrap_or(0), "chunk"),
        ),
    };
    let warnings = match document.warnings.len() {
        0 => String::new(),
        count => format!("  ({})", output::counted(count, "warning")),
    };
    format!("{id}  {:<10}  {}  {extent}{warnings}", state_name(document), document.filename)
}

fn detail(document: &Document) -> String {
    let mut lines = vec![describe(document)];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<14}{value}"));
        }
    };
    add("title", document.title.clone());
    add("external id", document.external_id.clone());
    add("collection", document.collection_id.clone());
    add("type", document.content_type.clone());
    add("size", format!("{} bytes", document.size_bytes));
    add("sha-256", document.sha256.clone());
    add("version", format!("{} (searches see {})", document.version, document.indexed_version));
    add("vectors", document.vector_count.to_string());
    add("created", output::time(document.create_time.as_ref()));
    add("updated", output::time(document.update_time.as_ref()));
    for (key, value) in document.metadata.iter().flat_map(|metadata| &metadata.fields) {
        add(&format!("{key} ="), values::show(value));
    }
    for warning in &document.warnings {
        add("warning", format!("{}: {}", warning.reason, warning.message));
    }
    lines.join("\n")
}
