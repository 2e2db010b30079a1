//! The generated stubs with a key, and what tests do again and again.

use prost_types::Struct;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use vectrion::v1::{
    AnswerEvent, AnswerRequest, CreateApiKeyRequest, CreateTenantRequest, Document, DocumentState, GetDocumentRequest,
    ListDocumentsRequest, Passage, RetrieveRequest, Role, UploadDocumentRequest, UploadDocumentResponse, UploadHeader,
    admin_service_client::AdminServiceClient, ingestion_service_client::IngestionServiceClient,
    query_service_client::QueryServiceClient, upload_document_request::Part,
};

use super::PATIENCE;

type Service = InterceptedService<Channel, Key>;

/// Adds the key to every call.
#[derive(Clone)]
pub struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The three services with one key.
#[derive(Clone)]
pub struct Client {
    pub ingestion: IngestionServiceClient<Service>,
    pub query: QueryServiceClient<Service>,
    pub admin: AdminServiceClient<Service>,
}

impl Client {
    pub async fn connect(url: &str, secret: &str) -> Self {
        let channel =
            Endpoint::from_shared(url.to_owned()).expect("a URL").connect().await.expect("the server answers");
        let key = Key(format!("Bearer {secret}").parse().expect("a key"));
        let service = InterceptedService::new(channel, key);
        Self {
            ingestion: IngestionServiceClient::new(service.clone()).max_decoding_message_size(64 << 20),
            query: QueryServiceClient::new(service.clone()).max_decoding_message_size(64 << 20),
            admin: AdminServiceClient::new(service),
        }
    }

    /// Creates a key and gives its secret.
    pub async fn create_key(&self, tenant: &str, role: Role) -> String {
        let request =
            CreateApiKeyRequest { tenant: tenant.into(), role: role.into(), ..CreateApiKeyRequest::default() };
        self.admin.clone().create_api_key(request).await.expect("a key").into_inner().secret
    }

    pub async fn create_tenant(&self, name: &str) {
        let request = CreateTenantRequest { name: name.into(), request_id: String::new() };
        self.admin.clone().create_tenant(request).await.expect("a tenant");
    }

    /// Uploads in one call.
    pub async fn try_upload(&self, header: UploadHeader, bytes: &[u8]) -> Result<UploadDocumentResponse, Status> {
        let message = |part| UploadDocumentRequest { request_id: String::new(), part: Some(part) };
        let mut parts = vec![message(Part::Header(header))];
        parts.extend(bytes.chunks(64 * 1024).map(|chunk| message(Part::Chunk(chunk.to_vec().into()))));
        Ok(self.ingestion.clone().upload_document(tokio_stream::iter(parts)).await?.into_inner())
    }

    /// Uploads a file under its name.
    pub async fn upload(&self, filename: &str, bytes: &[u8]) -> Document {
        let response =
            self.try_upload(header(filename), bytes).await.unwrap_or_else(|status| panic!("{filename}: {status}"));
        response.document.expect("a document")
    }

    /// Uploads a file and waits until it is indexed.
    pub async fn index(&self, filename: &str, bytes: &[u8]) -> Document {
        let document = self.upload(filename, bytes).await;
        let document = self.settled(&document.document_id).await;
        assert_eq!(document.state(), DocumentState::Indexed, "{filename}: {:?}", document.failure);
        document
    }

    pub async fn get(&self, id: &str) -> Result<Document, Status> {
        let request = GetDocumentRequest { document_id: id.into() };
        Ok(self.ingestion.clone().get_document(request).await?.into_inner().document.expect("a document"))
    }

    /// The document when it is indexed or failed.
    pub async fn settled(&self, id: &str) -> Document {
        let look = async {
            loop {
                let document = self.get(id).await.expect("the document");
                if matches!(document.state(), DocumentState::Indexed | DocumentState::Failed) {
                    return document;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the document settles in time")
    }

    /// Waits until the document is gone.
    pub async fn gone(&self, id: &str) {
        let look = async {
            while self.get(id).await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the document is removed in time");
    }

    pub async fn list(&self) -> Vec<Document> {
        let request = ListDocumentsRequest { page_size: 1000, ..ListDocumentsRequest::default() };
        self.ingestion.clone().list_documents(request).await.expect("a list").into_inner().documents
    }

    pub async fn search(&self, query: &str) -> Vec<Passage> {
        self.retrieve(RetrieveRequest { query: query.into(), top_k: 20, ..RetrieveRequest::default() }).await
    }

    pub async fn retrieve(&self, request: RetrieveRequest) -> Vec<Passage> {
        self.query.clone().retrieve(request).await.expect("passages").into_inner().passages
    }

    /// All events of an answer, to its end.
    pub async fn ask(&self, question: &str) -> Vec<AnswerEvent> {
        self.answer(AnswerRequest { question: question.into(), ..AnswerRequest::default() }).await
    }

    pub async fn answer(&self, request: AnswerRequest) -> Vec<AnswerEvent> {
        let mut stream = self.query.clone().answer(request).await.expect("a stream").into_inner();
        let mut events = Vec::new();
        while let Some(message) = stream.message().await.expect("the stream goes on") {
            events.push(message.event.expect("an event"));
        }
        events
    }
}

/// A header with nothing but the name.
pub fn header(filename: &str) -> UploadHeader {
    UploadHeader { filename: filename.into(), ..UploadHeader::default() }
}

/// The stable reason of an error.
pub fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"))
}

/// Metadata from pairs.
pub fn metadata(pairs: &[(&str, prost_types::value::Kind)]) -> Option<Struct> {
    let fields = pairs.iter().map(|(key, kind)| ((*key).to_owned(), prost_types::Value { kind: Some(kind.clone()) }));
    Some(Struct { fields: fields.collect() })
}
