//! Uploads in progress, and the outcomes of calls by request id.

pub(super) const STATEMENTS: &[&str] = &[
    // No foreign keys: the row of an upload must outlive its tenant until somebody has removed its bytes.
    "CREATE TABLE uploads (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL,
        version_id {uuid} NOT NULL,
        collection_id {uuid} NOT NULL,
        external_id TEXT NOT NULL,
        filename TEXT NOT NULL,
        size BIGINT,
        sha256 {bytes},
        metadata TEXT,
        allow_duplicate BOOLEAN NOT NULL,
        committed BIGINT NOT NULL,
        one_call BOOLEAN NOT NULL,
        create_time BIGINT NOT NULL,
        expire_time BIGINT NOT NULL
    )",
    "CREATE INDEX uploads_expire_time ON uploads (expire_time)",
    "CREATE TABLE requests (
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        request_id {uuid} NOT NULL,
        method TEXT NOT NULL,
        parameters {bytes} NOT NULL,
        outcome {bytes},
        create_time BIGINT NOT NULL,
        claim_expire_time BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, request_id)
    )",
    "CREATE INDEX requests_create_time ON requests (create_time)",
];
