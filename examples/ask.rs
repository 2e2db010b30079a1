//! Uploads a file, waits until it is indexed, asks a question, and prints the answer as it comes, with its citations.
//!
//! ```sh
//! VECTRION_ADDR=http://127.0.0.1:50051 VECTRION_API_KEY=vk_… cargo run --example ask -- FILE QUESTION
//! ```

use std::{collections::HashMap, env, error::Error, io::Write as _, path::Path};

use vectrion::{
    client::Client,
    v1::{
        AnswerRequest, Document, DocumentFilter, DocumentState, UploadHeader, WatchDocumentsRequest,
        answer_event::Event, watch_documents_response::Event as Change,
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(path), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ask FILE QUESTION".into());
    };
    let client = Client::connect(&env::var("VECTRION_ADDR")?, &env::var("VECTRION_API_KEY")?).await?;

    let name = Path::new(&path).file_name().and_then(|name| name.to_str()).ok_or("the file has no name")?;
    let header = UploadHeader { filename: name.to_owned(), ..UploadHeader::default() };
    let uploaded = client.upload_bytes(header, std::fs::read(&path)?).await?;
    let document = indexed(&client, uploaded.document.ok_or("no document")?).await?;
    println!("{}: {} pages, {} chunks", document.filename, document.page_count, document.chunk_count);

    let request = AnswerRequest { question, ..AnswerRequest::default() };
    let mut events = client.query().answer(request).await?.into_inner();
    let mut places = HashMap::new();
    let mut sources = Vec::new();
    while let Some(message) = events.message().await? {
        match message.event.and_then(|event| event.event) {
            Some(Event::Retrieval(retrieval)) => {
                places.extend(retrieval.passages.into_iter().map(|p| (p.passage_id, (p.filename, p.page_start))));
            }
            Some(Event::Delta(delta)) => {
                print!("{}", delta.text);
                std::io::stdout().flush()?;
            }
            Some(Event::Citation(citation)) => sources.push(citation),
            Some(Event::Done(done)) => println!("\n({})", done.finish_reason().as_str_name()),
            _ => {}
        }
    }
    for citation in sources {
        let (file, page) = &places[&citation.passage_id];
        println!("  {file}, page {page}: {}", citation.quote);
    }
    Ok(())
}

/// The document when it can be searched.
async fn indexed(client: &Client, document: Document) -> Result<Document, Box<dyn Error>> {
    let filter = DocumentFilter { document_ids: vec![document.document_id], ..DocumentFilter::default() };
    let request = WatchDocumentsRequest { filter: Some(filter), after_revision: 0 };
    let mut changes = client.ingestion().watch_documents(request).await?.into_inner();
    while let Some(message) = changes.message().await? {
        if let Some(Change::Changed(document)) = message.event {
            match document.state() {
                DocumentState::Indexed => return Ok(document),
                DocumentState::Failed => return Err(document.failure.unwrap_or_default().message.into()),
                _ => {}
            }
        }
    }
    Err("the watch ended".into())
}
