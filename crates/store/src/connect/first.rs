//! The first connection to a PostgreSQL server. The pool would try again until its time is up, and then say only that.

use std::{io::ErrorKind as IoKind, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use vectrion_core::{Error, Result};

use crate::failure::explain_driver;

/// The longest wait for a server that does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Connects once, so that what does not work is told with the setting that names it.
///
/// # Errors
/// `UNAVAILABLE`, reason `DATABASE_UNAVAILABLE`; `FAILED_PRECONDITION`, reason `DATABASE_TLS_FAILED`,
/// `DATABASE_LOGIN_REFUSED` or `DATABASE_MISSING`.
pub(super) async fn try_out(options: &PgConnectOptions) -> Result<()> {
    let unreachable = |what: &str| Error::unavailable("DATABASE_UNAVAILABLE", format!("`database.url`: {what}"));
    let Ok(connected) = tokio::time::timeout(ANSWER_WITHIN, options.connect()).await else {
        return Err(unreachable("the server does not answer; check host and port, and the firewalls on the way"));
    };
    let error = match connected {
        Ok(connection) => {
            // It has shown what it was made for.
            let _ = connection.close().await;
            return Ok(());
        }
        Err(error) => error,
    };
    let told = match &error {
        sqlx::Error::Tls(_) => no_tls(),
        sqlx::Error::Io(io) => match io.kind() {
            IoKind::InvalidData => no_tls(),
            IoKind::ConnectionRefused => {
                unreachable("nothing listens at host and port; check both, and that PostgreSQL runs")
            }
            _ => unreachable("host or port cannot be reached; check both"),
        },
        _ => explain_driver(&error),
    };
    Err(told.with_source(error))
}

fn no_tls() -> Error {
    Error::precondition(
        "DATABASE_TLS_FAILED",
        "`database.url`: no TLS with that server: it has none, or its certificate is not trusted or not for that host; \
         `sslrootcert=FILE` in the URL names the authority",
    )
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    async fn told(url: &str) -> Error {
        let options = PgConnectOptions::from_str(url).unwrap();
        try_out(&options).await.expect_err("there is no such server")
    }

    #[tokio::test]
    async fn a_port_where_nothing_listens_is_told_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = told(&format!("postgres://u:secret@127.0.0.1:{port}/d")).await;
        assert_eq!(error.reason(), "DATABASE_UNAVAILABLE");
        assert!(error.message().contains("database.url") && error.message().contains("nothing listens"), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = told(&format!("postgres://u:secret@127.0.0.1:{port}/d")).await;
        assert!(error.message().contains("does not answer"), "{error}");
    }
}
