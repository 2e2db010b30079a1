//! A scripted server that speaks the OpenAI protocol on the loopback: `/v1/chat/completions` and `/v1/embeddings`.
//!
//! Replies stand in a queue, one for each request in the order of arrival; when the queue is empty a standing reply
//! answers. What came in is recorded, and so is how each request ended, so that a test can see that a cancelled call
//! was aborted.

mod connection;
mod embedding;
mod record;
mod reply;
mod serve;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};

pub use self::{
    embedding::hash_embedding,
    record::{Request, RequestEnd},
    reply::{Answers, End, Reply, Step},
};

type Responder = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The server. It stops when it is dropped.
pub struct OpenAiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the handlers and the test both see.
struct Shared {
    dimension: usize,
    required_key: Mutex<Option<String>>,
    chat: Mutex<Script>,
    embeddings: Mutex<Script>,
    records: record::Records,
    accepted: Arc<AtomicUsize>,
}

/// Replies of one endpoint.
struct Script {
    queue: VecDeque<Reply>,
    standing: Responder,
}

impl Script {
    fn new(standing: Reply) -> Mutex<Self> {
        Mutex::new(Self { queue: VecDeque::new(), standing: Arc::new(move |_| standing.clone()) })
    }
}

impl OpenAiServer {
    /// Starts a server whose vectors have 384 numbers.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub async fn start() -> Self {
        Self::start_with_dimension(384).await
    }

    /// Starts a server whose vectors have `dimension` numbers unless a request asks for another `dimensions`.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub async fn start_with_dimension(dimension: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            dimension,
            required_key: Mutex::new(None),
            chat: Script::new(Reply::chat(["This ", "is ", "an ", "answer."])),
            embeddings: Script::new(Reply::embeddings()),
            records: record::Records::default(),
            accepted: Arc::default(),
        });
        let task = tokio::spawn(serve::run(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// The base URL, up to and with `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// A base URL on which nothing listens.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub async fn refusing_url() -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        format!("http://{address}/v1")
    }

    /// From now on answers 401 to every request without this key.
    pub fn require_key(&self, key: impl Into<String>) {
        *lock(&self.shared.required_key) = Some(key.into());
    }

    /// Adds replies for the next chat requests.
    pub fn queue_chat(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared.chat).queue.extend(replies);
    }

    /// What answers a chat request when the queue is empty.
    pub fn answer_chat(&self, responder: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        lock(&self.shared.chat).standing = Arc::new(responder);
    }

    /// Adds replies for the next requests for embeddings.
    pub fn queue_embeddings(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared.embeddings).queue.extend(replies);
    }

    /// What answers a request for embeddings when the queue is empty.
    pub fn answer_embeddings(&self, responder: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        lock(&self.shared.embeddings).standing = Arc::new(responder);
    }

    /// The requests so far, in order of arrival, those with a wrong key or path included.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.records.all()
    }

    /// How many requests came in so far.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.shared.records.all().len()
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until the requests satisfy `condition`, and says whether they did so within the time.
    pub async fn wait_until(&self, within: Duration, condition: impl Fn(&[Request]) -> bool) -> bool {
        self.shared.records.wait_until(within, condition).await
    }
}

impl Shared {
    fn next_reply(script: &Mutex<Script>, request: &Request) -> Reply {
        let standing = {
            let mut script = lock(script);
            if let Some(reply) = script.queue.pop_front() {
                return reply;
            }
            Arc::clone(&script.standing)
        };
        standing(request)
    }
}

impl fmt::Debug for OpenAiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for OpenAiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A test that panicked with the lock has failed already; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
