//! Tenants, collections, API keys and who calls.

use std::{str::FromStr, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    ids::{CollectionId, KeyId, TenantId},
    time::Timestamp,
};

/// An organisation whose data no other tenant sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Id.
    pub id: TenantId,
    /// Unique name.
    pub name: String,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// A named set of documents of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Id.
    pub id: CollectionId,
    /// Owner.
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub name: String,
    /// For people.
    pub description: String,
    /// Model that embeds its documents.
    pub embedding_model: String,
    /// Documents that are not being deleted.
    pub document_count: u64,
    /// Chunks of the indexed versions.
    pub chunk_count: u64,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// The collection and the tenant that every installation starts with.
pub const DEFAULT_NAME: &str = "default";

/// What a key may do. The table of roles and calls is in the server, in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Query, and the reads of ingestion.
    User,
    /// Ingest and query.
    Editor,
    /// Everything within its tenant.
    Admin,
    /// Crosses tenants, in the Admin service only.
    Operator,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 4] = [Self::User, Self::Editor, Self::Admin, Self::Operator];

    /// The name in configuration, database and command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| Error::invalid_field("role", "must be one of user, editor, admin, operator"))
    }
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Id.
    pub id: KeyId,
    /// Tenant it belongs to.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// First characters of the secret, to recognise it by.
    pub prefix: String,
    /// When it was created.
    pub create_time: Timestamp,
    /// From when on it is refused.
    pub expire_time: Option<Timestamp>,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_use_time: Option<Timestamp>,
}

/// Who calls, after authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key used.
    pub key: KeyId,
    /// The tenant whose data the call may touch.
    pub tenant: TenantId,
    /// What the key may do.
    pub role: Role,
}

/// What every use case knows of the call that it serves.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Who calls.
    pub principal: Principal,
    /// When the caller stops waiting; use cases hand the rest of the budget to what they call.
    pub deadline: Option<Instant>,
    /// W3C trace id of the call: 32 lower-case hex digits.
    pub trace_id: String,
}

/// A collection as callers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CollectionRef {
    /// By id.
    Id(CollectionId),
    /// By name.
    Name(String),
}

impl CollectionRef {
    /// A UUID is an id, anything else a name; empty is the collection `default`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) if text.is_empty() => Self::Name(DEFAULT_NAME.to_owned()),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}
