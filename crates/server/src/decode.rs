//! Messages to domain types that cannot be wrong. What breaks a rule is a `BadRequest` that names the field.

mod admin;
mod dead_letters;
mod documents;
mod fields;
mod jobs;
mod metadata;
mod questions;
mod reconcile;
mod uploads;

pub(crate) use self::{
    admin::{
        collection, collection_change, description, expiry_change, name, named_tenant, new_key, optional_key_name,
        tenant,
    },
    dead_letters::{dead_letter_filter, dead_letters},
    documents::{content_kind, document_filter, document_order, revision, version},
    fields::{count, id, page, request_id, sha256},
    jobs::{job_filter, watch_interval},
    metadata::required_metadata,
    questions::{answer, retrieve},
    reconcile::{lifecycle_rules, reconcile},
    uploads::{upload_broken, upload_chunk, upload_header, upload_parts},
};
