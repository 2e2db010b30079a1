//! What can go wrong in here, and what callers get to know of it.

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use vectrion_core::{Error, ErrorKind};

/// A failure inside the store; becomes an [`Error`] at the port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A rule of the port.
    #[error(transparent)]
    Refused(#[from] Error),
    /// A stored value cannot be read.
    #[error("a stored value cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// Result inside the store.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Damaged(source) => damaged("a stored value cannot be read").with_source(source),
            Failure::Database(source) => explain(&source).with_source(source),
        }
    }
}

/// Stored data that makes no sense.
pub(crate) fn damaged(message: &str) -> Error {
    Error::new(
        ErrorKind::DataLoss,
        "DATABASE_CORRUPT",
        format!("{message}: the database is damaged or was written by another program; restore it from a backup"),
    )
}

/// Whether a row with this key is there already.
pub(crate) fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}

/// Whether a row refers to one that is not there.
pub(crate) fn is_orphan(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::ForeignKeyConstraintViolation(_)))
}

/// Whether a concurrent change won, so that the same transaction may do better when it is made again.
pub(crate) fn is_conflict(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(error) => error.reason() == "TRANSACTION_CONFLICT",
        Failure::Database(error) => explain(error).reason() == "TRANSACTION_CONFLICT",
        Failure::Damaged(_) => false,
    }
}

fn explain(error: &DbErr) -> Error {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
            unavailable("every connection to the database is in use; try again")
        }
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => unavailable("the database is closed"),
        DbErr::Conn(RuntimeErr::SqlxError(source))
        | DbErr::Exec(RuntimeErr::SqlxError(source))
        | DbErr::Query(RuntimeErr::SqlxError(source)) => explain_driver(source),
        _ => internal(),
    }
}

/// What an error of the driver means for a caller.
pub(crate) fn explain_driver(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(source) => {
            let code = source.code().unwrap_or_default();
            if source.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                explain_sqlite(code.parse().unwrap_or(0))
            } else {
                explain_postgres(&code)
            }
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            unavailable("the database cannot be reached")
        }
        sqlx::Error::PoolTimedOut => unavailable("every connection to the database is in use; try again"),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            unavailable("the connection to the database is closed")
        }
        _ => internal(),
    }
}

/// SQLite's extended result codes (<https://www.sqlite.org/rescode.html>).
fn explain_sqlite(code: i32) -> Error {
    const IOERR_SHMSIZE: i32 = 4874;
    match (code, code & 0xff) {
        (IOERR_SHMSIZE, _) | (_, 13) => storage_full(),
        (_, 5 | 6) => Error::unavailable(
            "DATABASE_BUSY",
            "the database file is locked by another process; only one may use it: stop the other, or wait for it to end",
        ),
        (_, 8) => Error::precondition(
            "DATABASE_READ_ONLY",
            "the database file cannot be written; check its owner and mode and those of its directory",
        ),
        (_, 11 | 26) => damaged("the database file is not a sound SQLite file"),
        (_, 10) => unavailable("the disk of the database reports errors"),
        (_, 14) => {
            unavailable("the database file cannot be opened; check that its directory exists and can be written")
        }
        _ => internal(),
    }
}

/// PostgreSQL's SQLSTATE codes.
fn explain_postgres(code: &str) -> Error {
    match code {
        "53100" => storage_full(),
        "40001" | "40P01" | "55P03" => {
            Error::new(ErrorKind::Aborted, "TRANSACTION_CONFLICT", "a concurrent change won; make the call again")
        }
        "57014" => Error::new(
            ErrorKind::DeadlineExceeded,
            "DATABASE_TIMEOUT",
            "the database took too long; make the call again",
        ),
        "28000" | "28P01" => {
            Error::precondition("DATABASE_LOGIN_REFUSED", "the database refuses user or password; check `database.url`")
        }
        "3D000" => {
            Error::precondition("DATABASE_MISSING", "there is no such database; create it, or check `database.url`")
        }
        "25006" => unavailable("the database accepts no writes for now"),
        _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            unavailable("the database is out of service for now")
        }
        _ if code.starts_with("XX") => damaged("the database reports an inconsistency"),
        _ => internal(),
    }
}

fn storage_full() -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        "STORAGE_FULL",
        "the disk of the database is full; nothing was changed: free some space and try again",
    )
}

fn unavailable(message: &str) -> Error {
    Error::unavailable("DATABASE_UNAVAILABLE", message)
}

fn internal() -> Error {
    Error::internal("DATABASE_ERROR", "the database refused a statement; the log tells why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_reasons() {
        assert_eq!(explain_sqlite(13).reason(), "STORAGE_FULL");
        assert_eq!(explain_sqlite(13).kind(), ErrorKind::ResourceExhausted);
        assert_eq!(explain_sqlite(4874).reason(), "STORAGE_FULL");
        assert_eq!(explain_sqlite(517).reason(), "DATABASE_BUSY");
        assert_eq!(explain_sqlite(522).reason(), "DATABASE_UNAVAILABLE");
        assert_eq!(explain_sqlite(26).kind(), ErrorKind::DataLoss);
        assert_eq!(explain_sqlite(1).reason(), "DATABASE_ERROR");
        assert_eq!(explain_postgres("53100").reason(), "STORAGE_FULL");
        assert_eq!(explain_postgres("57P01").reason(), "DATABASE_UNAVAILABLE");
        assert_eq!(explain_postgres("08006").reason(), "DATABASE_UNAVAILABLE");
        assert_eq!(explain_postgres("40P01").kind(), ErrorKind::Aborted);
        assert_eq!(explain_postgres("42601").reason(), "DATABASE_ERROR");
    }

    #[test]
    fn a_full_pool_is_unavailable_and_keeps_its_source() {
        let error = Error::from(Failure::from(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));
        assert_eq!(error.reason(), "DATABASE_UNAVAILABLE");
        assert!(std::error::Error::source(&error).is_some());
    }
}
