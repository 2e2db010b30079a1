//! Documents, versions, metadata, pages, chunks, and the ends of documents.

pub(super) const STATEMENTS: &[&str] = &[
    // What lists and filters need of the newest version is repeated here; every change of a version goes through one
    // function that keeps both in step. `metadata` is for showing, the rows of `document_metadata` are for finding.
    "CREATE TABLE documents (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        collection_id {uuid} NOT NULL REFERENCES collections (id),
        external_id {name} NOT NULL,
        newest_version_id {uuid} NOT NULL,
        newest_version INTEGER NOT NULL,
        newest_sha256 {bytes} NOT NULL,
        filename {name} NOT NULL,
        state TEXT NOT NULL,
        deleting BOOLEAN NOT NULL,
        indexed_version_id {uuid},
        indexed_version INTEGER,
        indexed_chunks BIGINT NOT NULL,
        metadata TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL,
        revision BIGINT NOT NULL
    )",
    // A document that is being deleted has given up its name already.
    "CREATE UNIQUE INDEX documents_identity ON documents (collection_id, external_id) WHERE deleting = FALSE",
    // For lists, which show such a document, too.
    "CREATE INDEX documents_external_id ON documents (tenant_id, external_id)",
    "CREATE INDEX documents_bytes ON documents (collection_id, newest_sha256) WHERE deleting = FALSE",
    "CREATE INDEX documents_counts ON documents (collection_id, deleting, indexed_chunks)",
    "CREATE UNIQUE INDEX documents_revision ON documents (tenant_id, revision)",
    "CREATE INDEX documents_create_time ON documents (tenant_id, create_time, id)",
    "CREATE INDEX documents_update_time ON documents (tenant_id, update_time, id)",
    "CREATE INDEX documents_filename ON documents (tenant_id, filename, id)",
    "CREATE INDEX documents_state ON documents (state)",
    "CREATE TABLE document_versions (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL,
        document_id {uuid} NOT NULL REFERENCES documents (id),
        number INTEGER NOT NULL,
        filename TEXT NOT NULL,
        title TEXT,
        content_type TEXT NOT NULL,
        size BIGINT NOT NULL,
        sha256 {bytes} NOT NULL,
        state TEXT NOT NULL,
        pages_total INTEGER NOT NULL,
        pages_done INTEGER NOT NULL,
        chunks_total INTEGER NOT NULL,
        chunks_done INTEGER NOT NULL,
        page_count INTEGER NOT NULL,
        chunk_count INTEGER NOT NULL,
        failure TEXT,
        warnings TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX document_versions_number ON document_versions (document_id, number)",
    // One row for each value that a condition can meet; a list has one for each of its values and one for itself.
    "CREATE TABLE document_metadata (
        document_id {uuid} NOT NULL REFERENCES documents (id),
        key {name} NOT NULL,
        ordinal INTEGER NOT NULL,
        tenant_id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        number_value DOUBLE PRECISION,
        text_value {name},
        PRIMARY KEY (document_id, key, ordinal)
    ){clustered}",
    "CREATE INDEX document_metadata_number ON document_metadata (tenant_id, key, number_value)",
    "CREATE INDEX document_metadata_text ON document_metadata (tenant_id, key, text_value)",
    "CREATE TABLE pages (
        version_id {uuid} NOT NULL REFERENCES document_versions (id),
        number INTEGER NOT NULL,
        tenant_id {uuid} NOT NULL,
        width DOUBLE PRECISION NOT NULL,
        height DOUBLE PRECISION NOT NULL,
        rotation INTEGER NOT NULL,
        char_start BIGINT NOT NULL,
        char_end BIGINT NOT NULL,
        PRIMARY KEY (version_id, number)
    ){clustered}",
    // `token_ids` are little-endian integers, of two bytes each if they all fit, else of four.
    "CREATE TABLE chunks (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL,
        document_id {uuid} NOT NULL,
        version_id {uuid} NOT NULL REFERENCES document_versions (id),
        ordinal INTEGER NOT NULL,
        content TEXT NOT NULL,
        char_start BIGINT NOT NULL,
        char_end BIGINT NOT NULL,
        page_start INTEGER NOT NULL,
        page_end INTEGER NOT NULL,
        boxes TEXT NOT NULL,
        heading_path TEXT NOT NULL,
        token_count INTEGER NOT NULL,
        token_ids {bytes} NOT NULL
    )",
    "CREATE UNIQUE INDEX chunks_version ON chunks (version_id, ordinal)",
    // What a watch is told of documents that are no longer there.
    "CREATE TABLE document_ends (
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        revision BIGINT NOT NULL,
        document_id {uuid} NOT NULL,
        collection_id {uuid} NOT NULL,
        end_time BIGINT NOT NULL,
        PRIMARY KEY (tenant_id, revision)
    ){clustered}",
    "CREATE INDEX document_ends_time ON document_ends (end_time)",
];
