//! Questions and answers.

pub(super) const STATEMENTS: &[&str] = &[
    // Text, passages, usage and end of an answer are those of its events: each word is stored once, so that the deletion
    // of a document has one place to look at.
    "CREATE TABLE answers (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL REFERENCES tenants (id),
        key_id {uuid} NOT NULL,
        question TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt_version TEXT NOT NULL,
        redacted BOOLEAN NOT NULL,
        cancel_requested BOOLEAN NOT NULL,
        create_time BIGINT NOT NULL,
        event_time BIGINT NOT NULL,
        end_time BIGINT
    )",
    "CREATE INDEX answers_tenant ON answers (tenant_id, create_time, id)",
    "CREATE INDEX answers_create_time ON answers (create_time)",
    "CREATE INDEX answers_open ON answers (event_time) WHERE end_time IS NULL",
    // The earlier turns that came with a question. `digest` is the SHA-256 of the text: an answer that is redacted is
    // found again where it was sent along with a later question.
    "CREATE TABLE answer_turns (
        answer_id {uuid} NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        tenant_id {uuid} NOT NULL,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        digest {bytes} NOT NULL,
        PRIMARY KEY (answer_id, ordinal)
    )",
    "CREATE INDEX answer_turns_digest ON answer_turns (tenant_id, digest)",
    "CREATE TABLE answer_events (
        answer_id {uuid} NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
        sequence BIGINT NOT NULL,
        tenant_id {uuid} NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (answer_id, sequence)
    )",
    // The documents that an answer's passages are from.
    "CREATE TABLE answer_documents (
        document_id {uuid} NOT NULL,
        answer_id {uuid} NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
        tenant_id {uuid} NOT NULL,
        PRIMARY KEY (document_id, answer_id)
    ){clustered}",
    "CREATE INDEX answer_documents_answer ON answer_documents (answer_id)",
];
