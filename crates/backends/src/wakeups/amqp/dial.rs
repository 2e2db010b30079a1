//! Opening a connection.

use std::{fmt, io, time::Duration};

use async_rs::TokioRuntime;
use lapin::{
    Connection, ConnectionProperties,
    tcp::{AsyncTcpStream, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;
use vectrion_core::Result;

use super::{
    super::KEY,
    AmqpSettings, Prefetch,
    failure::{self, Phase},
    session::{Purpose, Session},
    socket::{CutOnDrop, Socket},
    topology::Topology,
};

/// Names of queues are at most 255 bytes; the longest stage and some room.
const MAX_PREFIX_BYTES: usize = 200;

/// Where the broker is, and how to get there.
pub(super) struct Dial {
    uri: AMQPUri,
    authorities: Option<String>,
    topology: Topology,
    prefetch: Prefetch,
    within: Duration,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .finish_non_exhaustive()
    }
}

impl Dial {
    pub(super) fn new(url: &str, settings: &AmqpSettings) -> Result<Self> {
        // The parser's own message repeats the URL.
        let mut uri: AMQPUri =
            url.parse().map_err(|_: String| failure::invalid(KEY, "is not amqp://USER:PASSWORD@HOST:PORT/VHOST"))?;
        if let Some(host) = ipv6(url) {
            uri.authority.host = host.to_owned();
        }
        uri.query.heartbeat.get_or_insert(settings.heartbeat_s);
        let prefix = &settings.prefix;
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(named) {
            return Err(failure::invalid("queue.prefix", "has 1 to 200 letters, digits and characters of `.-_:`"));
        }
        let authorities = settings.ca_path.as_ref().map(std::fs::read_to_string).transpose().map_err(|error| {
            failure::invalid("queue.ca_path", "is not a readable file of PEM certificates").with_source(error)
        })?;
        Ok(Self {
            uri,
            authorities,
            topology: Topology::new(prefix),
            prefetch: settings.prefetch,
            within: Duration::from_millis(settings.connect_timeout_ms),
        })
    }

    /// Connects, logs in, declares everything, and in a process that runs jobs subscribes.
    pub(super) async fn open(&self, purpose: Purpose) -> Result<Session> {
        // Dropped before the session has it, because of a failure or because time ran out, it ends the connection.
        let line = CutOnDrop(Socket::default());
        let socket = line.0.clone();
        let opened = async {
            let connection =
                self.connect(socket, purpose).await.map_err(|error| failure::explain(error, Phase::Connect))?;
            Session::on(connection, line, &self.topology, purpose, self.prefetch)
                .await
                .map_err(|error| failure::explain(error, Phase::Declare))
        };
        timeout(self.within, opened).await.unwrap_or_else(|_| Err(failure::silent()))
    }

    async fn connect(&self, socket: Socket, purpose: Purpose) -> lapin::Result<Connection> {
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.authorities.clone() };
        let within = self.within;
        let connect = async move |uri: AMQPUri, runtime: TokioRuntime| {
            let connected = async {
                let address = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    socket.adopt(plain.get_ref())?;
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await,
                }
            };
            let connected = timeout(within, connected).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        };
        let name = format!("vectrion {} (pid {})", purpose.as_str(), std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        Connection::connector(self.uri.clone(), TokioRuntime::tokio_current(), connect, properties).await
    }
}

/// The address between brackets, which lapin's parser takes for no host at all.
fn ipv6(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split(']').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(url: &str) -> Result<Dial> {
        Dial::new(url, &AmqpSettings::default())
    }

    #[test]
    fn the_url_says_where_the_broker_is() {
        let plain = dial("amqp://user:p%40ss@broker:5673/my%2Fhost").unwrap();
        assert_eq!((plain.uri.authority.host.as_str(), plain.uri.authority.port), ("broker", 5673));
        assert_eq!((plain.uri.authority.userinfo.password.as_str(), plain.uri.vhost.as_str()), ("p@ss", "my/host"));
        assert_eq!(plain.uri.query.heartbeat, Some(10));
        assert_eq!(dial("amqp://127.0.0.1").unwrap().uri.vhost, "/");
        let secure = dial("amqps://u:p@[::1]/v?heartbeat=3").unwrap();
        assert_eq!((secure.uri.authority.host.as_str(), secure.uri.authority.port), ("::1", 5671));
        assert_eq!(secure.uri.query.heartbeat, Some(3));
        assert!(!format!("{plain:?}").contains("p@ss"), "{plain:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named_without_the_url() {
        for wrong in ["amqp:", "amqp://host:notaport/", "amqp://h/?heartbeat=secret"] {
            let error = dial(wrong).expect_err(wrong);
            assert_eq!((error.reason(), error.violations()[0].field.as_str()), ("INVALID_BACKEND_URL", "queue.url"));
            assert!(!error.message().contains("secret"), "{error}");
        }
        for (key, settings) in [
            ("queue.prefix", AmqpSettings { prefix: "a b".to_owned(), ..AmqpSettings::default() }),
            ("queue.ca_path", AmqpSettings { ca_path: Some("/missing.pem".into()), ..AmqpSettings::default() }),
        ] {
            let error = Dial::new("amqp://h", &settings).expect_err(key);
            assert_eq!(error.violations()[0].field, key);
        }
    }
}
