//! Jobs, dead letters, workers.

pub(super) const STATEMENTS: &[&str] = &[
    // A job outlives its document (as the record of its deletion), hence no foreign key.
    "CREATE TABLE jobs (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL,
        document_id {uuid} NOT NULL,
        version_id {uuid},
        stage TEXT NOT NULL,
        payload TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        max_attempts INTEGER NOT NULL,
        interruptions INTEGER NOT NULL,
        run_time BIGINT NOT NULL,
        worker_id TEXT,
        lease_token BIGINT NOT NULL,
        lease_expire_time BIGINT,
        last_error TEXT,
        trace_id TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        start_time BIGINT,
        end_time BIGINT
    )",
    // The fair claim walks the tenants of this index, one step each, and then takes the first job of one of them.
    "CREATE INDEX jobs_pending ON jobs (stage, tenant_id, run_time, id) WHERE state = 'pending'",
    "CREATE INDEX jobs_next ON jobs (stage, run_time) WHERE state = 'pending'",
    "CREATE INDEX jobs_running_tenant ON jobs (tenant_id) WHERE state = 'running'",
    "CREATE INDEX jobs_running_document ON jobs (document_id, lease_expire_time) WHERE state = 'running'",
    "CREATE INDEX jobs_leases ON jobs (lease_expire_time) WHERE state = 'running'",
    "CREATE INDEX jobs_document ON jobs (document_id, create_time)",
    "CREATE INDEX jobs_list ON jobs (tenant_id, create_time, id)",
    "CREATE INDEX jobs_ended ON jobs (end_time) WHERE end_time IS NOT NULL",
    "CREATE TABLE dead_letters (
        id {uuid} NOT NULL PRIMARY KEY,
        tenant_id {uuid} NOT NULL,
        job_id {uuid} NOT NULL REFERENCES jobs (id),
        document_id {uuid} NOT NULL,
        version_id {uuid},
        stage TEXT NOT NULL,
        reason {name} NOT NULL,
        message TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        trace_id TEXT NOT NULL,
        create_time BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX dead_letters_job ON dead_letters (job_id)",
    "CREATE INDEX dead_letters_document ON dead_letters (document_id)",
    "CREATE INDEX dead_letters_list ON dead_letters (tenant_id, create_time, id)",
    "CREATE TABLE workers (
        id {name} NOT NULL PRIMARY KEY,
        host TEXT NOT NULL,
        stages TEXT NOT NULL,
        draining BOOLEAN NOT NULL,
        start_time BIGINT NOT NULL,
        heartbeat_time BIGINT NOT NULL
    )",
];
