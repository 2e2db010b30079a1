//! Where a walk is.

use serde::{Deserialize, Serialize};
use vectrion_core::{Error, Result};

use super::invalid_cursor;

/// What is walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// The versions of a tenant, beside its objects.
    #[default]
    Versions,
    /// The points of a tenant.
    Points,
    /// The objects of a tenant's uploads.
    Uploads,
    /// What tenants left that are gone.
    Leftovers,
}

impl Phase {
    /// The next one for the same tenant.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Versions => Some(Self::Points),
            Self::Points => Some(Self::Uploads),
            Self::Uploads | Self::Leftovers => None,
        }
    }
}

/// Where a walk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Page of the list of tenants whose first one it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenants: Option<String>,
    pub(super) phase: Phase,
    /// Position within the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json = hex::decode(text).map_err(|error| invalid_cursor().with_source(error))?;
        serde_json::from_slice(&json).map_err(|error| invalid_cursor().with_source(error))
    }

    pub(super) fn text(&self) -> Result<String> {
        let json = serde_json::to_vec(self).map_err(|error| {
            Error::internal("CURSOR_UNWRITABLE", "the place to go on from cannot be written").with_source(error)
        })?;
        Ok(hex::encode(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor { tenants: Some("t".into()), phase: Phase::Points, after: Some("a".into()) };
        assert_eq!(Cursor::parse(&cursor.text().expect("text")).expect("a cursor"), cursor);
        for other in ["", "x", "00", &hex::encode("{\"phase\":\"elsewhere\"}")] {
            assert_eq!(Cursor::parse(other).expect_err("no cursor").reason(), "INVALID_CURSOR");
        }
    }
}
