//! Opening models: local, or behind an OpenAI-compatible endpoint.

use std::{num::NonZero, path::Path, sync::Arc, time::Duration};

use rand::RngExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use vectrion_core::ports::{ChatModel, Embedder, Tokenizer};
use vectrion_models::{
    LocalEmbedder, LocalEmbedderSettings, MiniLmTokenizer, Variant,
    chat::{ChatSettings, OpenAiChatModel, OutputLimit},
    openai::{EmbedderSettings, EndpointSettings, OpenAiEmbedder},
};

use super::backend;
use crate::{
    app::StartError,
    config::{Config, ConfigError, redacted},
    doctor::Finding,
};

/// `[models]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelSettings {
    embed: String,
    embed_variant: Variant,
    embed_threads: usize,
    embed_model: String,
    embed_api_key: SecretString,
    embed_dimension: usize,
    embed_query_prefix: String,
    embed_passage_prefix: String,
    chat: String,
    chat_model: String,
    chat_api_key: SecretString,
    chat_context_tokens: u32,
    chat_temperature: f32,
    chat_output_limit: OutputLimitName,
    chat_first_token_timeout_ms: u64,
    chat_inter_token_timeout_ms: u64,
    chat_timeout_ms: u64,
    chat_retries: u32,
}

/// The field in which an endpoint takes the limit of an answer's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutputLimitName {
    MaxTokens,
    MaxCompletionTokens,
}

/// Where a model is.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Here,
    Endpoint(&'a str),
}

impl ModelSettings {
    fn embed_place(&self) -> Result<Place<'_>, ConfigError> {
        place("models.embed", &self.embed, "local:", "models.embed_model", &self.embed_model)
    }

    fn chat_place(&self) -> Result<Place<'_>, ConfigError> {
        place("models.chat", &self.chat, "extractive:", "models.chat_model", &self.chat_model)
    }

    fn chat_settings(&self, base_url: &str) -> ChatSettings {
        let mut endpoint = endpoint(base_url, &self.chat_model, &self.chat_api_key);
        endpoint.retries.max_retries = self.chat_retries;
        let mut settings = ChatSettings::new(endpoint);
        settings.context_tokens = self.chat_context_tokens;
        settings.temperature = Some(self.chat_temperature).filter(|temperature| *temperature >= 0.0);
        settings.output_limit = match self.chat_output_limit {
            OutputLimitName::MaxTokens => OutputLimit::MaxTokens,
            OutputLimitName::MaxCompletionTokens => OutputLimit::MaxCompletionTokens,
        };
        settings.first_token_timeout = Duration::from_millis(self.chat_first_token_timeout_ms);
        settings.inter_token_timeout = Duration::from_millis(self.chat_inter_token_timeout_ms);
        settings.total_timeout = Duration::from_millis(self.chat_timeout_ms);
        settings
    }

    fn embedder_settings(&self, base_url: &str) -> EmbedderSettings {
        let mut settings = EmbedderSettings::new(endpoint(base_url, &self.embed_model, &self.embed_api_key));
        settings.dimension = Some(self.embed_dimension).filter(|dimension| *dimension > 0);
        settings.query_prefix.clone_from(&self.embed_query_prefix);
        settings.passage_prefix.clone_from(&self.embed_passage_prefix);
        settings
    }

    fn local_settings(&self, assets: &Path) -> LocalEmbedderSettings {
        let mut settings = LocalEmbedderSettings::new(assets);
        settings.variant = self.embed_variant;
        if let Some(threads) = NonZero::new(self.embed_threads) {
            settings.threads = threads;
        }
        settings
    }
}

fn endpoint(base_url: &str, model: &str, key: &SecretString) -> EndpointSettings {
    use secrecy::ExposeSecret as _;
    let mut endpoint = EndpointSettings::new(base_url, model);
    endpoint.api_key = Some(key.clone()).filter(|key| !key.expose_secret().is_empty());
    endpoint
}

fn place<'a>(
    key: &'static str,
    url: &'a str,
    here: &str,
    model_key: &'static str,
    model: &str,
) -> Result<Place<'a>, ConfigError> {
    if url == here {
        return Ok(Place::Here);
    }
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(ConfigError::invalid(key, format!("must be `{here}` or a URL such as https://HOST/v1")));
    }
    if model.is_empty() {
        return Err(ConfigError::invalid(model_key, format!("names the model to ask for at {}", redacted(url))));
    }
    Ok(Place::Endpoint(url))
}

fn section(config: &Config) -> Result<ModelSettings, ConfigError> {
    config.section("models")
}

/// What cannot work.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let settings = section(config)?;
    settings.embed_place()?;
    settings.chat_place()?;
    for (key, value) in [
        ("models.chat_first_token_timeout_ms", settings.chat_first_token_timeout_ms),
        ("models.chat_inter_token_timeout_ms", settings.chat_inter_token_timeout_ms),
        ("models.chat_timeout_ms", settings.chat_timeout_ms),
    ] {
        if value == 0 {
            return Err(ConfigError::invalid(key, "must be at least 1"));
        }
    }
    Ok(())
}

/// The models behind their ports.
pub(super) struct Models {
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) chat: Option<Arc<dyn ChatModel>>,
}

/// Opens what the configuration names. Chunks are measured by the local model's tokenizer in any case: an endpoint's own
/// is not known here.
pub(super) async fn open(config: &Config, assets: &Path) -> Result<Models, StartError> {
    let settings = section(config)?;
    let tokenizer = Arc::new(MiniLmTokenizer::load(assets).map_err(backend("tokenizer"))?);
    let embedder = open_embedder(&settings, assets).await?;
    let chat: Option<Arc<dyn ChatModel>> = match settings.chat_place()? {
        Place::Here => None,
        Place::Endpoint(url) => {
            let model = OpenAiChatModel::new(settings.chat_settings(url), rand::rng().random());
            Some(Arc::new(model.map_err(backend("chat model"))?))
        }
    };
    Ok(Models { tokenizer, embedder, chat })
}

async fn open_embedder(settings: &ModelSettings, assets: &Path) -> Result<Arc<dyn Embedder>, StartError> {
    Ok(match settings.embed_place()? {
        Place::Here => {
            let settings = settings.local_settings(assets);
            let loaded = super::off_thread(move || LocalEmbedder::load(&settings)).await;
            Arc::new(loaded.map_err(backend("embedding model"))?)
        }
        Place::Endpoint(url) => {
            let embedder = OpenAiEmbedder::discover(settings.embedder_settings(url), rand::rng().random()).await;
            Arc::new(embedder.map_err(backend("embedding model"))?)
        }
    })
}

/// Whether the models can be loaded or reached.
pub(super) async fn examine(config: &Config, assets: &Path) -> Vec<Finding> {
    let settings = match section(config) {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::bad("models", error.to_string())],
    };
    let embedding = match open_embedder(&settings, assets).await {
        Ok(embedder) => match embedder.embed_query("is anybody there?").await {
            Ok(vector) => Finding::good("embedding", format!("{}, {} dimensions", embedder.model(), vector.len())),
            Err(error) => Finding::bad("embedding", format!("{} ({})", error.message(), error.reason())),
        },
        Err(error) => Finding::bad("embedding", error.to_string()),
    };
    let chat = match settings.chat_place() {
        Ok(Place::Here) => Finding::note("chat", "extractive: answers quote the documents; models.chat names a model"),
        Ok(Place::Endpoint(url)) => Finding::note("chat", format!("{} at {}", settings.chat_model, redacted(url))),
        Err(error) => Finding::bad("chat", error.to_string()),
    };
    vec![embedding, chat]
}
