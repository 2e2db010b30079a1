//! Embedder behind `/v1/embeddings`.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use vectrion_core::{
    Error, Result,
    ports::models::{EmbedInput, Embedder},
};

use super::{
    Accept, Break, Endpoint, EndpointSettings, Failure, Health, Model, Pass, Urgency,
    embedding_response::{normalise, vectors},
    from_now, read_to_end,
    windows::{batches, estimated_tokens, windows},
};

/// A success so recent that the endpoint needs no call to be known as usable.
const RECENT: Duration = Duration::from_secs(30);

/// Responses larger than this are read off the async threads.
const LARGE_RESPONSE_BYTES: usize = 128 << 10;

/// Time that background work goes on asking an endpoint that limits the rate.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Bytes of a text for each token, where its tokens are not known.
const BYTES_PER_TOKEN: usize = 4;

/// Settings of [`OpenAiEmbedder`].
#[derive(Clone, Debug)]
pub struct EmbedderSettings {
    /// The endpoint.
    pub endpoint: EndpointSettings,
    /// Length of the vectors. [`OpenAiEmbedder::discover`] asks the model if it is not given.
    pub dimension: Option<usize>,
    /// Sends the dimension with each request, for models that can shorten their vectors.
    pub request_dimension: bool,
    /// How vectors travel.
    pub encoding: VectorEncoding,
    /// Put before each question, as some models were trained, such as `query: `.
    pub query_prefix: String,
    /// Put before each passage, such as `passage: `.
    pub passage_prefix: String,
    /// Passages in a request at the most.
    pub batch_inputs: usize,
    /// Tokens of a request's passages together at the most.
    pub batch_tokens: usize,
    /// Tokens that the model takes in one text; longer questions are cut into windows.
    pub max_input_tokens: usize,
    /// Requests with passages under way at the most; questions do not wait for them.
    pub concurrency: usize,
    /// Time for one attempt.
    pub attempt_timeout: Duration,
    /// Time for a request with passages, retries included.
    pub total_timeout: Duration,
    /// Time for a question, retries included.
    pub query_timeout: Duration,
}

impl EmbedderSettings {
    /// Defaults for this endpoint.
    #[must_use]
    pub fn new(endpoint: EndpointSettings) -> Self {
        Self {
            endpoint,
            dimension: None,
            request_dimension: false,
            encoding: VectorEncoding::Float,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            batch_inputs: 64,
            batch_tokens: 32_768,
            max_input_tokens: 8_191,
            concurrency: 4,
            attempt_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            query_timeout: Duration::from_secs(10),
        }
    }
}

/// How vectors travel. Either form is understood whatever was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorEncoding {
    /// As decimal numbers, which every server can.
    Float,
    /// In base64, less than half as long.
    Base64,
}

/// Embedder behind an OpenAI-compatible `/v1/embeddings`.
///
/// Passages are sent as text, in batches bounded by number and tokens, a few requests at a time; questions do not queue
/// behind them. Vectors are put in the order of the inputs, checked for their length, and made unit length.
///
/// Errors: `DEADLINE_EXCEEDED` with reason `EMBEDDER_TIMEOUT`; `UNAVAILABLE` with `EMBEDDER_UNAVAILABLE`,
/// `EMBEDDER_ANSWER_BROKEN`; `RESOURCE_EXHAUSTED` with `EMBEDDER_RATE_LIMITED` and the model's `Retry-After`;
/// `FAILED_PRECONDITION` with `EMBEDDER_REFUSED`, `EMBEDDER_DIMENSION_MISMATCH`. Dropping a call aborts its requests.
#[derive(Debug)]
pub struct OpenAiEmbedder {
    endpoint: Endpoint,
    settings: EmbedderSettings,
    name: String,
    query_model: String,
    dimension: usize,
    passages: Semaphore,
    last_success: Mutex<Option<Instant>>,
}

impl OpenAiEmbedder {
    /// An embedder whose settings give the dimension. `seed` is for the jitter of retries.
    ///
    /// # Errors
    /// `INVALID_FIELD` naming the setting that is wrong; `MODEL_CLIENT_FAILED` if the system has no certificates.
    pub fn new(settings: EmbedderSettings, seed: u64) -> Result<Self> {
        let dimension = settings
            .dimension
            .ok_or_else(|| Error::invalid_field("dimension", "must be given: the length of the model's vectors"))?;
        let endpoint = Endpoint::new(&settings.endpoint, &["embeddings"], seed)?;
        let positive = [
            ("dimension", dimension),
            ("batch_inputs", settings.batch_inputs),
            ("batch_tokens", settings.batch_tokens),
            ("max_input_tokens", settings.max_input_tokens),
            ("concurrency", settings.concurrency),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid_field(*field, "must be at least 1"));
        }
        // Of several places one is always a question's.
        let places = settings.endpoint.rate.max_concurrency;
        let concurrency = if places == 0 { settings.concurrency } else { settings.concurrency.min(places.max(2) - 1) };
        let name = name(&settings, dimension);
        // Prefixes may hold anything: what they are told apart by is their place.
        let query_model = format!("{}/{dimension}/{:?}", settings.endpoint.model, settings.query_prefix);
        let passages = Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS));
        Ok(Self { endpoint, settings, name, query_model, dimension, passages, last_success: Mutex::new(None) })
    }

    /// Like [`OpenAiEmbedder::new`], and asks the model for the dimension if the settings do not give it.
    ///
    /// # Errors
    /// Those of `new`, and those of a call.
    pub async fn discover(mut settings: EmbedderSettings, seed: u64) -> Result<Self> {
        if settings.dimension.is_none() {
            let probing = Self::new(EmbedderSettings { dimension: Some(1), ..settings.clone() }, seed)?;
            let probe = vec!["dimension".to_owned()];
            let work =
                Work { texts: probe, tokens: 2, urgency: Urgency::Question, by: from_now(settings.query_timeout) };
            let vectors = probing.request(work, None).await.map_err(|failure| failure.into_error(&Model::EMBEDDER))?;
            settings.dimension = vectors.first().map(Vec::len);
            settings.request_dimension = false;
        }
        Self::new(settings, seed)
    }

    /// Vectors of texts that are ready to be sent, in as many requests as it takes.
    async fn embed_passages(&self, texts: Vec<String>, tokens: Vec<usize>, urgency: Urgency) -> Result<Vec<Vec<f32>>> {
        let prefix = estimated_tokens(&self.settings.passage_prefix);
        let tokens: Vec<usize> = tokens.into_iter().map(|tokens| tokens + prefix).collect();
        let mut texts = texts.into_iter();
        let batch_tokens = self.settings.batch_tokens.min(self.endpoint.gate.bulk_tokens());
        let batches: Vec<(Vec<String>, usize)> = batches(&tokens, self.settings.batch_inputs, batch_tokens)
            .into_iter()
            .map(|batch| (texts.by_ref().take(batch.len()).collect(), tokens[batch].iter().sum()))
            .collect();
        let vectors: Vec<Vec<Vec<f32>>> = stream::iter(batches)
            .map(|(texts, tokens)| self.embed_batch(texts, tokens, urgency))
            .buffered(self.settings.concurrency)
            .try_collect()
            .await?;
        Ok(vectors.concat())
    }

    /// Background work waits while the rate is limited, by us or by the endpoint; its time counts from when it may begin.
    async fn embed_batch(&self, texts: Vec<String>, tokens: usize, urgency: Urgency) -> Result<Vec<Vec<f32>>> {
        let _permit = self.passages.acquire().await.expect("the semaphore is never closed");
        let patience = from_now(PATIENCE);
        loop {
            let by = from_now(self.settings.total_timeout);
            let work = Work { texts: texts.clone(), tokens, urgency, by };
            match self.request(work, Some(self.dimension)).await {
                Err(failure)
                    if urgency == Urgency::Bulk
                        && failure.is_rate()
                        && from_now(failure.retry_after().unwrap_or_default()) < patience => {}
                outcome => return outcome.map_err(|failure| failure.into_error(&Model::EMBEDDER)),
            }
        }
    }

    /// One request, with its retries.
    async fn request(&self, work: Work, dimension: Option<usize>) -> Result<Vec<Vec<f32>>, Failure> {
        let Work { texts, tokens, urgency, by } = work;
        let count = texts.len();
        let request = CreateEmbeddingRequest {
            model: self.settings.endpoint.model.clone(),
            input: EmbeddingInput::StringArray(texts),
            encoding_format: Some(match self.settings.encoding {
                VectorEncoding::Float => EncodingFormat::Float,
                VectorEncoding::Base64 => EncodingFormat::Base64,
            }),
            user: None,
            dimensions: dimension
                .filter(|_| self.settings.request_dimension)
                .and_then(|dimension| u32::try_from(dimension).ok()),
        };
        // Texts and numbers: nothing that JSON could not hold.
        let body = serde_json::to_vec(&request).expect("a request for embeddings is JSON");
        drop(request);
        let body = Bytes::from(body);
        let (limit, first) = match urgency {
            Urgency::Question => (by, None),
            Urgency::Bulk => {
                let total = by.saturating_duration_since(Instant::now());
                let pass = self.endpoint.gate.enter(urgency, tokens, None).await?;
                (from_now(total), Some(pass))
            }
        };
        let first = Mutex::new(first);
        let attempt = || async {
            let pass = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let pass = match pass {
                Some(pass) => pass,
                None => self.endpoint.gate.enter(urgency, tokens, Some(limit)).await?,
            };
            self.attempt(body.clone(), count, dimension, limit, pass).await
        };
        let vectors = self.endpoint.calls.run(limit, Health::Alive, attempt).await?;
        *self.last_success.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(vectors)
    }

    async fn attempt(
        &self,
        body: Bytes,
        count: usize,
        dimension: Option<usize>,
        limit: Instant,
        _pass: Pass,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let limit = limit.min(from_now(self.settings.attempt_timeout));
        let answer = async {
            let response = self.endpoint.post(Accept::Json, body).await?;
            read_to_end(response, self.endpoint.max_response_bytes).await.map_err(Failure::Broken)
        };
        let body = timeout_at(limit, answer).await.map_err(|_elapsed| Failure::Silent)??;
        if body.len() < LARGE_RESPONSE_BYTES {
            return vectors(&body, count, dimension);
        }
        let read = tokio::task::spawn_blocking(move || vectors(&body, count, dimension));
        read.await.unwrap_or(Err(Failure::Broken(Break::Vectors("the response could not be read"))))
    }
}

/// A request that is to be made.
struct Work {
    texts: Vec<String>,
    /// About so many.
    tokens: usize,
    urgency: Urgency,
    by: Instant,
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.name
    }

    fn query_model(&self) -> &str {
        &self.query_model
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn batch_size(&self) -> usize {
        self.settings.batch_inputs
    }

    async fn embed(&self, inputs: Vec<EmbedInput>) -> Result<Vec<Vec<f32>>> {
        let prefix = &self.settings.passage_prefix;
        let tokens: Vec<usize> = inputs
            .iter()
            .map(|input| match input.token_ids.len() {
                0 => estimated_tokens(&input.text),
                known => known,
            })
            .collect();
        let texts = inputs.into_iter().map(|input| with_prefix(prefix, input.text)).collect();
        self.embed_passages(texts, tokens, Urgency::Bulk).await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        self.embed_query_by(text, None).await
    }

    async fn embed_query_by(&self, text: &str, deadline: Option<std::time::Instant>) -> Result<Vec<f32>> {
        let prefix = &self.settings.query_prefix;
        let room = self.settings.max_input_tokens.saturating_sub(estimated_tokens(prefix)).max(1);
        let texts: Vec<String> =
            windows(text, room).into_iter().map(|window| with_prefix(prefix, window.to_owned())).collect();
        let tokens = texts.iter().map(|text| text.len().div_ceil(BYTES_PER_TOKEN)).sum();
        let own = from_now(self.settings.query_timeout);
        let by = deadline.map_or(own, |deadline| own.min(Instant::from_std(deadline)));
        let work = Work { texts, tokens, urgency: Urgency::Question, by };
        let vectors = self.request(work, Some(self.dimension)).await;
        vectors
            .and_then(|vectors| mean(vectors, self.dimension))
            .map_err(|failure| failure.into_error(&Model::EMBEDDER))
    }

    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let tokens: Vec<usize> = texts.iter().map(|text| estimated_tokens(text)).collect();
        let texts = texts.iter().map(|text| with_prefix(&self.settings.passage_prefix, text.clone())).collect();
        self.embed_passages(texts, tokens, Urgency::Question).await
    }

    /// Calls the model unless a call succeeded within the last half minute.
    async fn check(&self) -> Result<()> {
        let last = *self.last_success.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < RECENT) {
            return Ok(());
        }
        self.embed_query("ready").await.map(drop)
    }
}

/// Name of the vectors: vectors of another length, or of passages with another prefix, are another generation.
fn name(settings: &EmbedderSettings, dimension: usize) -> String {
    let mut name = format!("{}/{dimension}", settings.endpoint.model);
    if !settings.passage_prefix.is_empty() {
        name.push('/');
        name.push_str(&settings.passage_prefix);
    }
    name
}

fn with_prefix(prefix: &str, text: String) -> String {
    if prefix.is_empty() { text } else { format!("{prefix}{text}") }
}

/// The mean's direction.
fn mean(mut vectors: Vec<Vec<f32>>, dimension: usize) -> Result<Vec<f32>, Failure> {
    if vectors.len() == 1 {
        return Ok(vectors.swap_remove(0));
    }
    let mut sum = vec![0.0_f32; dimension];
    for vector in &vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    normalise(&mut sum)?;
    Ok(sum)
}
