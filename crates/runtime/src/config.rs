//! Configuration: defaults, file, environment, flags; parsed once, errors name the key.
//!
//! `config/defaults.toml` lists every key. It is the manual, the source of the defaults, and what tells a known key from
//! a misspelt one. Each crate parses its own section ([`Config::section`]).

mod environment;
mod layers;
mod redact;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use self::redact::redacted;

const DEFAULTS: &str = include_str!("../../../config/defaults.toml");

/// A value of the command line, stronger than file and environment: path such as `server.listen`, and value as text.
pub type Override = (String, String);

/// Where settings come from besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named on the command line.
    pub file: Option<PathBuf>,
    /// The environment, as pairs.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub overrides: Vec<Override>,
}

/// What is wrong with the configuration. The message names the key and where it was set.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{path} is not valid TOML: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A key that no part of the program knows.
    #[error("{origin}: unknown setting `{key}`{hint}")]
    UnknownKey {
        /// Where it was set.
        origin: String,
        /// The key.
        key: String,
        /// The nearest known one, as a sentence.
        hint: String,
    },
    /// A value of the wrong type.
    #[error("{origin}: `{key}` must be {expected}")]
    WrongType {
        /// Where it was set.
        origin: String,
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that its section refuses.
    #[error("`{key}`: {problem}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl ConfigError {
    /// A value that cannot be used.
    pub fn invalid(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), problem: problem.into() }
    }
}

/// The merged configuration.
#[derive(Clone)]
pub struct Config {
    table: Table,
    data_dir: PathBuf,
    cache_dir: Option<PathBuf>,
    warnings: Vec<String>,
}

impl Config {
    /// Merges the sources over the defaults.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value of the wrong type.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut table = defaults();
        let mut warnings = Vec::new();
        let flagged =
            |key: &str| sources.overrides.iter().find(|(path, _)| path == key).map(|(_, value)| value.clone());
        let variable = |name: &str| {
            sources
                .environment
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.clone())
        };

        let explicit = sources.file.clone().or_else(|| variable("VECTRION_CONFIG").map(PathBuf::from));
        match explicit {
            Some(path) => layers::merge_file(&mut table, &path)?,
            None => {
                let early = flagged("data_dir").or_else(|| variable("VECTRION_DATA_DIR"));
                let beside = data_dir(early.as_deref().unwrap_or_default(), &variable)?.join("vectrion.toml");
                if beside.is_file() {
                    layers::merge_file(&mut table, &beside)?;
                }
            }
        }
        environment::merge(&mut table, &sources.environment, &mut warnings)?;
        for (path, value) in &sources.overrides {
            layers::set_from_text(&mut table, path, value, "command line")?;
        }

        let data_dir = data_dir(table.get("data_dir").and_then(Value::as_str).unwrap_or_default(), &variable)?;
        layers::expand(&mut table, &data_dir);
        let cache_dir = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
        Ok(Self { table, data_dir, cache_dir, warnings })
    }

    /// A section as its crate's own type.
    ///
    /// # Errors
    /// A missing, unknown or wrong value, named with its section.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let value = self.table.get(name).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let key = if path == "." { name.to_owned() } else { format!("{name}.{path}") };
            ConfigError::invalid(key, error.inner().message().to_owned())
        })
    }

    /// A text by its path, such as `database.url`; empty if it is not set.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        layers::lookup(&self.table, path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The data directory, absolute.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The user's directory for what can be fetched again, if there is one.
    #[must_use]
    pub fn cache_dir(&self) -> Option<&Path> {
        self.cache_dir.as_deref()
    }

    /// What is odd but not wrong, such as an unknown VECTRION_ variable.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Everything that is in force, as TOML, secrets left out.
    #[must_use]
    pub fn to_redacted_toml(&self) -> String {
        redact::to_toml(&self.table)
    }
}

fn defaults() -> Table {
    DEFAULTS.parse().expect("config/defaults.toml is checked by a test")
}

fn data_dir(set: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let path = if set.is_empty() {
        match (variable("XDG_DATA_HOME"), variable("HOME")) {
            (Some(base), _) => PathBuf::from(base).join("vectrion"),
            (None, Some(home)) => PathBuf::from(home).join(".local/share/vectrion"),
            (None, None) => {
                return Err(ConfigError::invalid("data_dir", "is not set, and neither is HOME: give --data-dir DIR"));
            }
        }
    } else {
        PathBuf::from(set)
    };
    std::path::absolute(&path).map_err(|source| ConfigError::Read { path, source })
}

#[cfg(test)]
mod tests;
