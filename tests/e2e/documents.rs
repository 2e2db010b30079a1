//! Documents: from upload to index, watch, read, change, delete, retry.

use prost_types::value::Kind;
use tonic::Code;
use vectrion::v1::{
    ContentKind, DeleteDocumentRequest, DocumentFilter, DocumentState, GetAnswerRequest, GetDocumentContentRequest,
    ListChunksRequest, ListDeadLettersRequest, ListPagesRequest, MetadataCondition, ReplayDeadLetterRequest,
    RetrieveRequest, RetryDocumentRequest, SearchFilter, UpdateDocumentRequest, UploadHeader, WatchDocumentsRequest,
    metadata_condition::Test, watch_documents_response::Event,
};

use vectrion_testkit::pdf::{Page, Pdf};

use crate::support::{
    TestApp,
    client::{Client, header, metadata, reason},
};

const HANDBOOK: &[u8] = b"# Field handbook\n\n## Boats\n\nThe cutter Meridian carries eleven people and two rafts.\n\n## Food\n\nEvery crew packs oatmeal for nine days.\n";

async fn content(client: &Client, id: &str, kind: ContentKind, offset: i64) -> Vec<u8> {
    let request =
        GetDocumentContentRequest { document_id: id.into(), version: 0, kind: kind.into(), read_offset: offset };
    let mut stream = client.ingestion.clone().get_document_content(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        bytes.extend_from_slice(&message.data);
    }
    bytes
}

#[tokio::test]
async fn a_pdf_goes_from_upload_to_passages_with_boxes() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let pdf = Pdf::new()
        .page(Page::a4().line(72.0, 700.0, 12.0, "The reactor hall opens at seven."))
        .page(Page::a4().line(72.0, 700.0, 12.0, "Visitors register with Ms Halloran."))
        .build();
    let document = client.index("hall.pdf", &pdf).await;
    assert_eq!(document.content_type, "application/pdf");
    assert_eq!(document.page_count, 2);
    assert!(document.chunk_count > 0 && document.chunk_count == document.vector_count);

    let passages = client.search("Who do visitors register with?").await;
    let best = &passages[0];
    assert!(best.text.contains("Halloran"), "{}", best.text);
    assert!(best.page_end == 2 && !best.boxes.is_empty());
    let text = String::from_utf8(content(&client, &document.document_id, ContentKind::Text, 0).await).unwrap();
    let range = best.char_start as usize..best.char_end as usize;
    let slice: String = text.chars().skip(range.start).take(range.len()).collect();
    assert_eq!(slice, best.text, "the range points into the extracted text");
    assert_eq!(content(&client, &document.document_id, ContentKind::Original, 0).await, pdf);
    assert_eq!(content(&client, &document.document_id, ContentKind::Original, 10).await, pdf[10..]);

    let request = ListPagesRequest { document_id: document.document_id.clone(), ..ListPagesRequest::default() };
    let pages = client.ingestion.clone().list_pages(request).await.unwrap().into_inner().pages;
    assert_eq!(pages.iter().map(|page| page.number).collect::<Vec<_>>(), [1, 2]);
    assert!(pages.iter().all(|page| page.width > 100.0 && page.height > 100.0));
    let request = ListChunksRequest { document_id: document.document_id, ..ListChunksRequest::default() };
    let chunks = client.ingestion.clone().list_chunks(request).await.unwrap().into_inner().chunks;
    assert_eq!(i32::try_from(chunks.len()).unwrap(), document.chunk_count);
    app.stop().await;
}

#[tokio::test]
async fn a_watch_shows_the_way_to_the_index_and_the_end() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let document = client.upload("handbook.md", HANDBOOK).await;
    let request = WatchDocumentsRequest {
        filter: Some(DocumentFilter { document_ids: vec![document.document_id.clone()], ..DocumentFilter::default() }),
        after_revision: 0,
    };
    let mut stream = client.ingestion.clone().watch_documents(request).await.unwrap().into_inner();
    let mut revision = 0;
    loop {
        let message = stream.message().await.unwrap().expect("the watch goes on");
        assert!(message.revision >= revision);
        revision = message.revision;
        match message.event {
            Some(Event::Changed(document)) if document.state() == DocumentState::Indexed => break,
            Some(Event::Changed(document)) => assert_ne!(document.state(), DocumentState::Failed),
            _ => {}
        }
    }
    let request = DeleteDocumentRequest { document_id: document.document_id.clone(), request_id: String::new() };
    let deleting = client.ingestion.clone().delete_document(request).await.unwrap().into_inner().document.unwrap();
    assert_eq!(deleting.state(), DocumentState::Deleting);
    loop {
        match stream.message().await.unwrap().expect("the watch goes on").event {
            Some(Event::Removed(removed)) => {
                assert_eq!(removed.document_id, document.document_id);
                break;
            }
            Some(Event::Changed(changed)) => assert_eq!(changed.state(), DocumentState::Deleting),
            _ => {}
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn metadata_is_stored_filtered_by_and_changed_at_once() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let tagged = |year: f64| UploadHeader {
        external_id: format!("year-{year}"),
        metadata: metadata(&[("year", Kind::NumberValue(year)), ("draft", Kind::BoolValue(year > 2000.0))]),
        ..header("log.txt")
    };
    let mut ids = Vec::new();
    for (year, text) in [(1999.0, "The expedition found copper."), (2011.0, "The expedition found copper again.")] {
        let document = client.try_upload(tagged(year), text.as_bytes()).await.unwrap().document.unwrap();
        client.settled(&document.document_id).await;
        ids.push(document.document_id);
    }
    let found = async |test: Test| {
        let condition = MetadataCondition { key: "year".into(), test: Some(test) };
        let filter = SearchFilter { metadata: vec![condition], ..SearchFilter::default() };
        let request = RetrieveRequest { query: "copper".into(), filter: Some(filter), ..RetrieveRequest::default() };
        client.retrieve(request).await.into_iter().map(|passage| passage.document_id).collect::<Vec<_>>()
    };
    let year = |year: f64| Test::Equals(prost_types::Value { kind: Some(Kind::NumberValue(year)) });
    assert_eq!(found(year(1999.0)).await, [ids[0].clone()]);
    let range = vectrion::v1::NumberRange { gt: Some(2000.0), ..Default::default() };
    assert_eq!(found(Test::Range(range)).await, [ids[1].clone()]);

    let request = UpdateDocumentRequest {
        document_id: ids[1].clone(),
        metadata: metadata(&[("year", Kind::NumberValue(1999.0))]),
        request_id: String::new(),
    };
    client.ingestion.clone().update_document(request).await.unwrap();
    assert_eq!(found(year(1999.0)).await.len(), 2);
    assert_eq!(found(year(2011.0)).await.len(), 0);
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_document_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let document = client.index("handbook.md", HANDBOOK).await;
    let events = client.ask("How many people does the cutter Meridian carry?").await;
    let answer_id = events[0].answer_id.clone();
    let answer = async || {
        let request = GetAnswerRequest { answer_id: answer_id.clone() };
        client.query.clone().get_answer(request).await.unwrap().into_inner().answer.unwrap()
    };
    assert!(answer().await.text.contains("eleven"), "{}", answer().await.text);

    let request = DeleteDocumentRequest { document_id: document.document_id.clone(), request_id: String::new() };
    client.ingestion.clone().delete_document(request).await.unwrap();
    assert!(client.search("cutter Meridian").await.is_empty(), "hidden at once");
    client.gone(&document.document_id).await;
    let status = client.get(&document.document_id).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "DOCUMENT_NOT_FOUND"));
    assert!(app.objects().await.is_empty(), "{:?}", app.objects().await);
    let left = answer().await;
    assert!(left.passages.is_empty() && !left.text.contains("eleven"), "{left:?}");

    let data = app.stop().await;
    for file in ["vectrion.db", "vectrion.db-wal"] {
        let bytes = std::fs::read(data.path().join(file)).unwrap_or_default();
        let needle = b"cutter Meridian carries eleven";
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "text is left in {file}");
    }
}

#[tokio::test]
async fn a_failed_document_says_why_and_can_be_retried() {
    let app = TestApp::start().await;
    let client = app.operator().await;
    let document = client.upload("broken.pdf", b"%PDF-1.7\nthis is no document\n%%EOF\n").await;
    let failed = client.settled(&document.document_id).await;
    assert_eq!(failed.state(), DocumentState::Failed);
    let failure = failed.failure.unwrap();
    assert_eq!(failure.stage, "process_document");
    assert!(failure.reason.starts_with("PDF_") && failure.message.len() > 15, "{failure:?}");
    assert_eq!(failure.attempts, 1, "a permanent error is not tried again");

    let letters = async || {
        let request = ListDeadLettersRequest::default();
        client.admin.clone().list_dead_letters(request).await.unwrap().into_inner().dead_letters
    };
    let letter = letters().await.pop().expect("a dead letter");
    assert_eq!(
        (letter.document_id.as_str(), letter.reason.as_str()),
        (document.document_id.as_str(), failure.reason.as_str())
    );
    assert!(letter.trace_id.len() == 32 && letter.attempts == 1);
    let request =
        ReplayDeadLetterRequest { dead_letter_id: letter.dead_letter_id, ..ReplayDeadLetterRequest::default() };
    client.admin.clone().replay_dead_letter(request).await.unwrap();
    let failed = client.settled(&document.document_id).await;
    assert_eq!(failed.state(), DocumentState::Failed);
    assert_eq!(letters().await.len(), 1, "one dead letter, a new one");

    let request = RetryDocumentRequest { document_id: document.document_id.clone(), request_id: String::new() };
    client.ingestion.clone().retry_document(request).await.unwrap();
    client.settled(&document.document_id).await;
    let good = client.index("good.txt", b"All is well in the north.").await;
    let request = RetryDocumentRequest { document_id: good.document_id, request_id: String::new() };
    let status = client.ingestion.clone().retry_document(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "DOCUMENT_NOT_FAILED"));
    app.stop().await;
}
