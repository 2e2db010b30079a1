//! Opening models: local, or behind an OpenAI-compatible endpoint.

use std::{num::NonZero, path::Path, sync::Arc, time::Duration};

use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use vectrion_core::ports::{ChatModel, Embedder, Tokenizer};
use vectrion_models::{
    LocalEmbedder, LocalEmbedderSettings, MiniLmTokenizer, Variant,
    chat::{ChatSettings, OpenAiChatModel, OutputLimit},
    openai::{EmbedderSettings, EndpointSettings, OpenAiEmbedder, RateSettings},
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
    embed_headers: SecretString,
    embed_proxy: SecretString,
    embed_dimension: usize,
    embed_query_prefix: String,
    embed_passage_prefix: String,
    embed_max_concurrency: usize,
    embed_requests_per_minute: u32,
    embed_tokens_per_minute: u32,
    chat: String,
    chat_model: String,
    chat_api_key: SecretString,
    chat_headers: SecretString,
    chat_proxy: SecretString,
    chat_context_tokens: u32,
    chat_temperature: f32,
    chat_output_limit: OutputLimitName,
    chat_first_token_timeout_ms: u64,
    chat_inter_token_timeout_ms: u64,
    chat_timeout_ms: u64,
    chat_retries: u32,
    chat_max_concurrency: usize,
    chat_requests_per_minute: u32,
    chat_tokens_per_minute: u32,
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

    fn chat_settings(&self, base_url: &str) -> Result<ChatSettings, ConfigError> {
        let mut endpoint = endpoint(base_url, &self.chat_model, &self.chat_api_key);
        endpoint.headers = headers("models.chat_headers", &self.chat_headers)?;
        endpoint.proxy = proxy("models.chat_proxy", &self.chat_proxy)?;
        endpoint.retries.max_retries = self.chat_retries;
        endpoint.rate = RateSettings {
            max_concurrency: self.chat_max_concurrency,
            requests_per_minute: self.chat_requests_per_minute,
            tokens_per_minute: self.chat_tokens_per_minute,
        };
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
        Ok(settings)
    }

    fn embedder_settings(&self, base_url: &str) -> Result<EmbedderSettings, ConfigError> {
        let mut endpoint = endpoint(base_url, &self.embed_model, &self.embed_api_key);
        endpoint.headers = headers("models.embed_headers", &self.embed_headers)?;
        endpoint.proxy = proxy("models.embed_proxy", &self.embed_proxy)?;
        endpoint.rate = RateSettings {
            max_concurrency: self.embed_max_concurrency,
            requests_per_minute: self.embed_requests_per_minute,
            tokens_per_minute: self.embed_tokens_per_minute,
        };
        let mut settings = EmbedderSettings::new(endpoint);
        settings.dimension = Some(self.embed_dimension).filter(|dimension| *dimension > 0);
        settings.query_prefix.clone_from(&self.embed_query_prefix);
        settings.passage_prefix.clone_from(&self.embed_passage_prefix);
        Ok(settings)
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

/// One `Name: value` a line. What is wrong is named by its line: the text itself may be a secret.
fn headers(key: &'static str, text: &SecretString) -> Result<Vec<(String, SecretString)>, ConfigError> {
    let lines = text.expose_secret().lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            let wrong = |problem| ConfigError::invalid(key, format!("line {} {problem}", at + 1));
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("must be `Name: value`"))?;
            let (name, value) = (name.trim(), value.trim());
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(wrong("does not begin with the name of a header"));
            }
            if value.bytes().any(|b| b.is_ascii_control()) {
                return Err(wrong("has a value with characters that cannot be sent"));
            }
            Ok((name.to_owned(), SecretString::from(value.to_owned())))
        })
        .collect()
}

/// The URL of a proxy; none if empty.
fn proxy(key: &'static str, url: &SecretString) -> Result<Option<SecretString>, ConfigError> {
    let text = url.expose_secret();
    let known = ["http://", "https://"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    match text {
        "" => Ok(None),
        _ if known => Ok(Some(url.clone())),
        _ => Err(ConfigError::invalid(key, "must be a URL such as http://USER:PASSWORD@HOST:PORT")),
    }
}

fn endpoint(base_url: &str, model: &str, key: &SecretString) -> EndpointSettings {
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
    for (key, text) in
        [("models.embed_headers", &settings.embed_headers), ("models.chat_headers", &settings.chat_headers)]
    {
        headers(key, text)?;
    }
    for (key, url) in [("models.embed_proxy", &settings.embed_proxy), ("models.chat_proxy", &settings.chat_proxy)] {
        proxy(key, url)?;
    }
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
            let model = OpenAiChatModel::new(settings.chat_settings(url)?, rand::rng().random());
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
            let embedder = OpenAiEmbedder::discover(settings.embedder_settings(url)?, rand::rng().random()).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn load(settings: &[(&str, &str)]) -> Config {
        let overrides = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment = vec![("HOME".to_owned(), "/home/somebody".to_owned())];
        Config::load(&Sources { file: None, environment, overrides }).expect("known keys")
    }

    #[test]
    fn headers_and_proxy_reach_the_endpoint_and_are_not_shown() {
        let config = load(&[
            ("models.chat_headers", "api-key: s3cret: still\n\n  X-Team : search \n"),
            ("models.embed_headers", "api-key: hush"),
            ("models.chat_proxy", "http://me:pa55@proxy:3128"),
        ]);
        check(&config).expect("fine");
        let settings = section(&config).expect("fine");
        let endpoint = settings.chat_settings("http://model/v1").expect("fine").endpoint;
        let headers: Vec<_> =
            endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(headers, [("api-key", "s3cret: still"), ("X-Team", "search")]);
        assert_eq!(endpoint.proxy.expect("a proxy").expose_secret(), "http://me:pa55@proxy:3128");
        let embedder = settings.embedder_settings("http://model/v1").expect("fine").endpoint;
        assert_eq!((embedder.headers.len(), embedder.proxy.is_none()), (1, true));
        let shown = format!("{}{settings:?}", config.to_redacted_toml());
        for secret in ["s3cret", "hush", "pa55"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (key, value) in [
            ("models.chat_headers", "api-key: x\nhunter2"),
            ("models.embed_headers", "hunter2 secret: x"),
            ("models.embed_headers", "a: hunter2\u{1}x"),
            ("models.chat_proxy", "me:hunter2@proxy:3128"),
        ] {
            let error = check(&load(&[(key, value)])).expect_err(value).to_string();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
    }
}
