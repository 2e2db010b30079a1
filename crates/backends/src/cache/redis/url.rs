//! `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME]`.

use fred::types::config::Config;
use vectrion_core::{Error, Result};

use super::KEY;

/// The prefix of keys unless the URL says another.
const DEFAULT_PREFIX: &str = "vectrion";

pub(super) struct RedisUrl {
    pub(super) config: Config,
    /// What every key begins with: installations that share a database differ in it.
    pub(super) prefix: String,
}

impl RedisUrl {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (server, query) = url.split_once('?').unwrap_or((url, ""));
        let mut prefix = DEFAULT_PREFIX;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("prefix", name)) if is_name(name) => prefix = name,
                _ => return Err(invalid("may be followed by `?prefix=NAME` only, of letters, digits, `-` and `_`")),
            }
        }
        let config = Config::from_url_centralized(server)
            .map_err(|error| invalid("must look like redis://:PASSWORD@HOST:6379/0").with_source(error))?;
        Ok(Self { config, prefix: format!("{prefix}:") })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn invalid(rule: &str) -> Error {
    Error::invalid("INVALID_BACKEND_URL", format!("{KEY} {rule}")).with_violation(KEY, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_server_database_and_prefix() {
        let url = RedisUrl::parse("redis://me:p%40ss@cache:6380/3?prefix=blue-1").unwrap();
        assert_eq!(url.prefix, "blue-1:");
        assert_eq!((url.config.username.as_deref(), url.config.password.as_deref()), (Some("me"), Some("p@ss")));
        assert_eq!(url.config.database, Some(3));
        let hosts = url.config.server.hosts();
        assert_eq!((hosts[0].host.to_string(), hosts[0].port), ("cache".to_owned(), 6380));
        assert_eq!(RedisUrl::parse("redis://cache").unwrap().prefix, "vectrion:");
    }

    #[test]
    fn a_wrong_url_names_the_setting_and_not_the_secret() {
        for wrong in [
            "redis://",
            "redis://:hunter2@cache/x",
            "redis://:hunter2@cache/300",
            "redis://:hunter2@cache:port",
            "redis://:hunter2@cache?prefix=",
            "redis://:hunter2@cache?prefix=a*",
            "redis://:hunter2@cache?db=1",
        ] {
            let error = RedisUrl::parse(wrong).map(drop).expect_err(wrong);
            assert_eq!(error.reason(), "INVALID_BACKEND_URL", "{wrong}");
            assert!(error.message().contains("cache.url"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
