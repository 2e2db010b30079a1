//! A cache on a Redis server, which several processes share.

mod breaker;
#[cfg(test)]
mod tests;
mod url;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::{
    clients::Client,
    error::{Error as RedisError, ErrorKind as RedisErrorKind},
    interfaces::{ClientLike, KeysInterface},
    types::{
        Builder, ConnectHandle, Expiration,
        config::{ReconnectPolicy, UnresponsiveConfig},
    },
};
use tokio::time::timeout;
use vectrion_core::{
    Error, Result,
    ids::TenantId,
    ports::cache::{Cache, CacheKey, Cached},
};

use self::{breaker::Breaker, url::RedisUrl};
use super::{
    CacheSettings, KEY,
    seen::{self, Outcome},
};

/// Time for the first connection, with its probe.
const OPEN_WAIT: Duration = Duration::from_secs(5);
/// Time for a connection and its handshake, later too.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Time of a removal: that of a revoked key is worth more patience than a look-up.
const DELETE_WAIT: Duration = Duration::from_millis(500);
/// Time for forgetting a tenant, which walks through all keys.
const DELETE_TENANT_WAIT: Duration = Duration::from_secs(5);
const CHECK_WAIT: Duration = Duration::from_secs(1);
/// A connection on which a command has waited for so long is dead: the server is stopped, or the network swallows all.
const UNRESPONSIVE: Duration = Duration::from_secs(2);
const RECONNECT_MIN_MS: u32 = 100;
const RECONNECT_MAX_MS: u32 = 5_000;
/// Commands that may wait to be written.
const MAX_WAITING: usize = 10_000;
/// Keys that a step of a walk looks at.
const SCAN_COUNT: u32 = 1000;

/// Keeps values on a Redis server, under keys that begin with the prefix of the URL.
///
/// One connection carries the commands of all callers; when it breaks it is made again for as long as it takes. After a
/// command that failed or was too slow the server is left alone for a second, so that a server that hangs costs one
/// caller its timeout and not all of them.
#[derive(Debug)]
pub struct RedisCache {
    client: Client,
    connection: ConnectHandle,
    prefix: String,
    patience: Duration,
    breaker: Breaker,
}

/// Whether the URL can be right.
pub(super) fn validate(url: &str) -> Result<()> {
    RedisUrl::parse(url).map(drop)
}

impl RedisCache {
    /// Connects to the server of `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME]`, or `rediss://…` for TLS
    /// with the certificates that the system trusts, and tries whether values can be written, read and removed.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_BACKEND_URL`; `FAILED_PRECONDITION`, reason `CACHE_REFUSED`, when the user, the
    /// password or the user's rights will not do; `UNAVAILABLE`, reason `CACHE_UNAVAILABLE`, when no server answers.
    pub async fn connect(url: &str, settings: &CacheSettings) -> Result<Self> {
        let RedisUrl { config, prefix } = RedisUrl::parse(url)?;
        let mut builder = Builder::from_config(config);
        builder.with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_WAIT;
            connection.internal_command_timeout = CONNECT_WAIT;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = MAX_WAITING;
            connection.reconnect_on_auth_error = true;
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE), interval: UNRESPONSIVE / 4 };
            connection.tcp.nodelay = Some(true);
        });
        builder.set_policy(ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2));
        let client = builder.build().map_err(unusable)?;
        let connected = timeout(OPEN_WAIT, async {
            let connection = client.init().await?;
            match probe(&client, &prefix).await {
                Ok(()) => Ok(connection),
                Err(error) => {
                    connection.abort();
                    Err(error)
                }
            }
        });
        let connection = match connected.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unusable(error)),
            Err(_) => {
                let message = format!("{KEY}: the Redis server did not answer within {} s", OPEN_WAIT.as_secs());
                return Err(Error::unavailable("CACHE_UNAVAILABLE", message));
            }
        };
        let patience = Duration::from_millis(settings.timeout_ms.max(1));
        Ok(Self { client, connection, prefix, patience, breaker: Breaker::default() })
    }

    fn key(&self, key: &CacheKey) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }

    /// Runs commands within `patience`, and takes note of how they fare; none if they did not come through.
    async fn run<T>(
        &self,
        operation: &'static str,
        patience: Duration,
        commands: impl Future<Output = Result<T, RedisError>>,
    ) -> Option<T> {
        if !self.client.is_connected() {
            self.breaker.failed(operation, "not connected");
            return None;
        }
        match timeout(patience, commands).await {
            Ok(Ok(done)) => {
                self.breaker.succeeded();
                Some(done)
            }
            Ok(Err(error)) => {
                self.breaker.failed(operation, &error.to_string());
                None
            }
            Err(_) => {
                self.breaker.failed(operation, "too slow");
                None
            }
        }
    }

    async fn read(&self, key: &CacheKey) -> Result<(Option<Bytes>, i64), RedisError> {
        let pipeline = self.client.pipeline();
        let key = self.key(key);
        let _: () = pipeline.get(key.as_str()).await?;
        let _: () = pipeline.pttl(key).await?;
        pipeline.all().await
    }
}

impl Drop for RedisCache {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Writes, reads and removes a value: says at the start that a user lacks a right, rather than never.
async fn probe(client: &Client, prefix: &str) -> Result<(), RedisError> {
    let key = format!("{prefix}probe");
    let _: () = client.set(key.as_str(), "", Some(Expiration::PX(1000)), None, false).await?;
    let _: Option<Bytes> = client.get(key.as_str()).await?;
    let _: i64 = client.pttl(key.as_str()).await?;
    let _: i64 = client.unlink(key).await?;
    Ok(())
}

/// Why no cache can be had at the start.
fn unusable(error: RedisError) -> Error {
    let said = error.details();
    let refused = matches!(error.kind(), RedisErrorKind::Auth)
        || ["NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH", "ERR invalid password"]
            .iter()
            .any(|begin| said.starts_with(begin));
    if refused {
        let message = format!(
            "{KEY}: the Redis server refuses the user or the password in the URL, or the user may not SET, GET, PTTL, \
             UNLINK and SCAN keys of this prefix"
        );
        return Error::precondition("CACHE_REFUSED", message).with_source(error);
    }
    let what = match error.kind() {
        RedisErrorKind::Tls => "no TLS connection to the Redis server can be made; `redis://` is without TLS",
        RedisErrorKind::Config | RedisErrorKind::Url => "the Redis server cannot be used as the URL says",
        RedisErrorKind::Protocol | RedisErrorKind::Parse => "what answers there is no Redis server",
        _ => "no Redis server can be reached there",
    };
    Error::unavailable("CACHE_UNAVAILABLE", format!("{KEY}: {what}")).with_source(error)
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &CacheKey) -> Option<Cached> {
        if self.breaker.is_open() {
            seen::looked_up(key.kind(), Outcome::Skipped);
            return None;
        }
        let Some((value, left_ms)) = self.run("get", self.patience, self.read(key)).await else {
            seen::looked_up(key.kind(), Outcome::Failed);
            return None;
        };
        // Negative: the time came between the two commands. A value without a time is not one of ours.
        let left = u64::try_from(left_ms).ok().filter(|left| *left > 0);
        let found = value.zip(left).map(|(value, left)| Cached { value, expires_in: Duration::from_millis(left) });
        seen::looked_up(key.kind(), if found.is_some() { Outcome::Hit } else { Outcome::Miss });
        found
    }

    async fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        let Some(ttl_ms) = i64::try_from(ttl.as_millis()).ok().filter(|ttl| *ttl > 0) else {
            return self.delete(key).await;
        };
        if self.breaker.is_open() {
            return;
        }
        let expiration = Some(Expiration::PX(ttl_ms));
        let set = self.client.set::<(), _, _>(self.key(key), value, expiration, None, false);
        self.run("set", self.patience, set).await;
    }

    async fn delete(&self, key: &CacheKey) {
        self.run("delete", DELETE_WAIT, self.client.unlink::<i64, _>(self.key(key))).await;
    }

    async fn delete_tenant(&self, tenant: TenantId) {
        // Neither part holds what means something in a pattern.
        let pattern = format!("{}{}*", self.prefix, CacheKey::tenant_prefix(tenant));
        let walk = async {
            let mut cursor = "0".to_owned();
            loop {
                let page = self.client.scan_page(cursor, pattern.as_str(), Some(SCAN_COUNT), None).await;
                let (next, keys): (String, Vec<String>) = page?;
                if !keys.is_empty() {
                    let _: i64 = self.client.unlink(keys).await?;
                }
                if next == "0" {
                    return Ok(());
                }
                cursor = next;
            }
        };
        self.run("delete_tenant", DELETE_TENANT_WAIT, walk).await;
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn check(&self) -> Result<()> {
        let unavailable = || Error::unavailable("CACHE_UNAVAILABLE", "the Redis server cannot be used");
        if !self.client.is_connected() {
            return Err(unavailable());
        }
        match timeout(CHECK_WAIT, self.client.ping::<()>(None)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unavailable().with_source(error)),
            Err(late) => Err(unavailable().with_source(late)),
        }
    }
}
