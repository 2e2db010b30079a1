//! Domain types to messages.

mod admin;
mod answers;
mod documents;
mod jobs;
mod metadata;
mod passages;
mod queues;
mod reconcile;
mod upkeep;
mod values;

pub(crate) use self::{
    admin::{api_key, collection, server_info, tenant},
    answers::{answer_event, retrieved, stored_answer},
    documents::{chunk, document, page_info, upload, uploaded, watch_event},
    jobs::{dead_letter, dead_letter_cause, job, job_with_history, worker},
    queues::queues,
    reconcile::reconcile_event,
    upkeep::{deletion_receipt, lifecycle_action, lifecycle_policy, lifecycle_summary},
    values::{page, size, time},
};
