//! Tenants, collections, API keys.

pub(super) const STATEMENTS: &[&str] = &[
    // `revision` counts the changes of the tenant's documents; `history_floor` is the newest revision of which the end of
    // a document was forgotten.
    "CREATE TABLE tenants (
        id {uuid} NOT NULL PRIMARY KEY,
        name {name} NOT NULL,
        revision BIGINT NOT NULL DEFAULT 0,
        history_floor BIGINT NOT NULL DEFAULT 0,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX tenants_name ON tenants (name)",
    "CREATE TABLE collections (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        name {name} NOT NULL,
        description TEXT NOT NULL,
        embedding_model TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX collections_name ON collections (tenant_id, name)",
    "CREATE TABLE api_keys (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        prefix TEXT NOT NULL,
        hash {bytes} NOT NULL,
        create_time BIGINT NOT NULL,
        expire_time BIGINT,
        revoke_time BIGINT,
        last_use_time BIGINT
    )",
    "CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash)",
    "CREATE INDEX api_keys_list ON api_keys (tenant_id, create_time, id)",
];
