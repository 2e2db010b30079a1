//! What is done to an installation from outside, through the generated stubs, and what is to come of it.

pub mod calls;
pub mod documents;
pub mod reader;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use vectrion::{
    client::{Client, Options},
    v1::{
        CreateApiKeyRequest, CreateTenantRequest, DeleteDocumentRequest, Document, DocumentState, GetDocumentRequest,
        ListDocumentsRequest, Passage, RetrieveRequest, Role, UploadDocumentRequest, UploadHeader,
        upload_document_request::Part,
    },
};

use self::{calls::Calls, documents::Made};
use crate::environment::Installation;

/// Time that the servers give to calls. No call says another.
pub const UNARY_DEADLINE: Duration = Duration::from_secs(10);
pub const UPLOAD_DEADLINE: Duration = Duration::from_secs(20);
/// Time between looks, and between tries of a call that failed for now.
const LOOK: Duration = Duration::from_millis(100);
const TENANTS: usize = 3;

/// What is to become of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Indexed,
    /// Failed, for one of these reasons; any if there is none.
    Failed(&'static [&'static str]),
    Gone,
    /// Any end that a document can have.
    Settled,
}

/// A document that a server acknowledged.
#[derive(Clone, Debug)]
pub struct Entry {
    pub tenant: usize,
    pub external_id: String,
    pub document_id: String,
    pub sha256: String,
    pub marker: String,
    pub expected: Expected,
}

/// A tenant: a connection of its administrator to each server.
pub struct Tenant {
    pub clients: Vec<Client>,
}

/// Tenants, and what they were promised.
pub struct Load {
    pub tenants: Vec<Tenant>,
    pub calls: Calls,
    entries: Mutex<Vec<Entry>>,
    made: AtomicUsize,
    turn: AtomicUsize,
}

impl Load {
    /// Makes tenants with a key each.
    pub async fn start(installation: &Installation) -> Result<Self> {
        let urls: Vec<&str> = installation.servers.iter().map(|server| server.url.as_str()).collect();
        let operator = Client::connect(urls[0], &installation.servers[0].operator_key()?).await?;
        let mut tenants = Vec::new();
        for n in 0..TENANTS {
            let name = format!("tenant-{n}");
            let mut admin = operator.admin();
            admin.create_tenant(CreateTenantRequest { name: name.clone(), ..CreateTenantRequest::default() }).await?;
            let request =
                CreateApiKeyRequest { tenant: name, role: Role::Admin.into(), ..CreateApiKeyRequest::default() };
            let key = admin.create_api_key(request).await?.into_inner().secret;
            let options = Options { connect_timeout: Duration::from_secs(2), ..Options::default() };
            let connect = |url: &&str| Client::lazy(url, &key, options.clone());
            tenants.push(Tenant { clients: urls.iter().map(connect).collect::<Result<_, _>>()? });
        }
        let (made, turn) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { tenants, calls: Calls::default(), entries: Mutex::default(), made, turn })
    }

    /// A new document of a tenant, of another kind than the one before.
    pub fn make(&self, tenant: usize) -> Made {
        documents::make(tenant, self.made.fetch_add(1, Ordering::SeqCst), None)
    }

    /// A new version of a document.
    pub fn make_again(&self, tenant: usize, external_id: &str) -> Made {
        documents::make(tenant, self.made.fetch_add(1, Ordering::SeqCst), Some(external_id))
    }

    /// The server whose turn it is.
    pub fn next_server(&self) -> usize {
        self.turn.fetch_add(1, Ordering::SeqCst) % self.tenants[0].clients.len()
    }

    /// Uploads once, to this server.
    pub async fn try_upload(&self, server: usize, tenant: usize, made: &Made) -> Result<Document, Status> {
        let header = UploadHeader {
            external_id: made.external_id.clone(),
            filename: made.filename.clone(),
            size_bytes: Some(i64::try_from(made.bytes.len()).unwrap_or(i64::MAX)),
            ..UploadHeader::default()
        };
        let message = |part| UploadDocumentRequest { request_id: String::new(), part: Some(part) };
        let mut parts = vec![message(Part::Header(header))];
        parts.extend(made.bytes.chunks(256 * 1024).map(|chunk| message(Part::Chunk(chunk.to_vec().into()))));
        let mut client = self.tenants[tenant].clients[server].ingestion();
        let call = async { client.upload_document(futures::stream::iter(parts)).await };
        let response = self.calls.watch("UploadDocument", UPLOAD_DEADLINE, call).await?;
        response.document.ok_or_else(|| Status::internal("no document"))
    }

    /// Uploads until some server acknowledges it, and remembers what is to become of it.
    pub async fn upload(&self, tenant: usize, made: &Made, expected: Expected, patience: Duration) -> Result<Entry> {
        let start = Instant::now();
        let mut server = self.next_server();
        let document = loop {
            match self.try_upload(server, tenant, made).await {
                Ok(document) => break document,
                Err(status) if start.elapsed() > patience => {
                    bail!("{} was not taken within {patience:?}: {status}", made.external_id)
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
            server = self.next_server();
        };
        Ok(self.taken(tenant, made, document, expected))
    }

    /// Remembers what is to become of a document that was acknowledged.
    pub fn taken(&self, tenant: usize, made: &Made, document: Document, expected: Expected) -> Entry {
        let entry = Entry {
            tenant,
            external_id: made.external_id.clone(),
            document_id: document.document_id,
            sha256: hex::encode(Sha256::digest(&made.bytes)),
            marker: made.marker.clone(),
            expected,
        };
        self.remember(entry.clone());
        entry
    }

    /// Uploads so many good documents, of all tenants in turn.
    pub async fn upload_many(&self, count: usize, patience: Duration) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for n in 0..count {
            let tenant = n % self.tenants.len();
            entries.push(self.upload(tenant, &self.make(tenant), Expected::Indexed, patience).await?);
        }
        Ok(entries)
    }

    /// Deletes a document, until some server acknowledges it.
    pub async fn delete(&self, entry: &Entry, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut client = self.tenants[entry.tenant].clients[self.next_server()].ingestion();
            let request = DeleteDocumentRequest { document_id: entry.document_id.clone(), request_id: String::new() };
            let call = async { client.delete_document(request).await };
            match self.calls.watch("DeleteDocument", UNARY_DEADLINE, call).await {
                Ok(_) => break,
                // An answer before was lost.
                Err(status) if status.code() == Code::NotFound => break,
                Err(status) if start.elapsed() > patience => bail!("{}: {status}", entry.external_id),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
        self.remember(Entry { expected: Expected::Gone, ..entry.clone() });
        Ok(())
    }

    /// What is remembered last of a document counts.
    pub fn remember(&self, entry: Entry) {
        let mut entries = lock(&self.entries);
        match entries.iter_mut().find(|old| old.document_id == entry.document_id) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
    }

    /// Nothing is promised of a document any more.
    pub fn forget(&self, entry: &Entry) {
        lock(&self.entries).retain(|other| other.document_id != entry.document_id);
    }

    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).clone()
    }

    /// A document, from any server.
    pub async fn get(&self, entry: &Entry) -> Result<Document, Status> {
        let mut client = self.tenants[entry.tenant].clients[self.next_server()].ingestion();
        let request = GetDocumentRequest { document_id: entry.document_id.clone() };
        let call = async { client.get_document(request).await };
        let response = self.calls.watch("GetDocument", UNARY_DEADLINE, call).await?;
        response.document.ok_or_else(|| Status::internal("no document"))
    }

    /// Passages for a question, from a server.
    pub async fn search(&self, server: usize, tenant: usize, query: &str) -> Result<Vec<Passage>, Status> {
        let mut client = self.tenants[tenant].clients[server].query();
        let request = RetrieveRequest { query: query.to_owned(), top_k: 20, ..RetrieveRequest::default() };
        let call = async { client.retrieve(request).await };
        Ok(self.calls.watch("Retrieve", UNARY_DEADLINE, call).await?.passages)
    }

    /// All documents of a tenant, by id.
    pub async fn list(&self, tenant: usize) -> Result<HashMap<String, Document>, Status> {
        let mut client = self.tenants[tenant].clients[self.next_server()].ingestion();
        let mut request = ListDocumentsRequest { page_size: 1000, ..ListDocumentsRequest::default() };
        let mut found = HashMap::new();
        loop {
            let call = async { client.list_documents(request.clone()).await };
            let page = self.calls.watch("ListDocuments", UNARY_DEADLINE, call).await?;
            found.extend(page.documents.into_iter().map(|document| (document.document_id.clone(), document)));
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Waits until everything that was acknowledged has come to its end, and tells how long that took.
    ///
    /// # Errors
    /// What is not where it is to be when the time is over.
    pub async fn settle(&self, within: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let open = self.unsettled().await;
            match open {
                Ok(open) if open.is_empty() => return Ok(start.elapsed()),
                Ok(open) if start.elapsed() > within => {
                    let shown: Vec<&String> = open.iter().take(5).collect();
                    bail!("I1: {} documents are not where they are to be after {within:?}: {shown:?}", open.len())
                }
                Err(status) if start.elapsed() > within => {
                    return Err(status).with_context(|| format!("no list of documents within {within:?}"));
                }
                Ok(_) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What is not where it is to be, or stands in the way of that.
    async fn unsettled(&self) -> Result<Vec<String>, Status> {
        let mut open = Vec::new();
        let mut lists = Vec::new();
        for tenant in 0..self.tenants.len() {
            lists.push(self.list(tenant).await?);
        }
        for entry in self.entries() {
            let found = lists[entry.tenant].get(&entry.document_id);
            let is_there = match (&entry.expected, found) {
                (Expected::Gone, None) => true,
                (Expected::Gone, Some(_)) | (_, None) => false,
                (Expected::Settled, Some(found)) => {
                    matches!(found.state(), DocumentState::Indexed | DocumentState::Failed)
                }
                (Expected::Indexed, Some(found)) => {
                    found.state() == DocumentState::Indexed && found.sha256 == entry.sha256
                }
                (Expected::Failed(reasons), Some(found)) => {
                    let reason = found.failure.as_ref().map(|failure| failure.reason.as_str()).unwrap_or_default();
                    found.state() == DocumentState::Failed
                        && !reason.is_empty()
                        && (reasons.is_empty() || reasons.contains(&reason))
                }
            };
            if !is_there {
                let state = found.map(|found| (found.state(), found.failure.as_ref().map(|failure| &failure.reason)));
                open.push(format!("{} is {state:?}, not {:?}", entry.external_id, entry.expected));
            }
        }
        Ok(open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
