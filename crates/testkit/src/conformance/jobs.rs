//! Conformance of [`Jobs`](vectrion_core::ports::Jobs).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

mod claims;
mod commits;
mod dead_letters;
mod endings;
mod fencing;
mod history;
mod lists;
mod reaping;
mod workers;

pub use self::{
    claims::*, commits::*, dead_letters::*, endings::*, fencing::*, history::*, lists::*, reaping::*, workers::*,
};

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! jobs_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, jobs: [
            without_a_ready_job_nothing_is_claimed,
            a_delayed_job_is_claimed_when_its_time_has_come,
            a_claim_gives_a_lease_and_moves_the_version_on,
            the_job_that_waited_longest_is_claimed_first,
            the_tenant_with_the_fewest_running_jobs_comes_first,
            a_long_queue_in_front_delays_nobody_else,
            while_a_document_is_worked_on_none_of_its_other_jobs_is_claimed,
            jobs_claimed_at_once_go_to_one_worker_each,
            documents_claimed_at_once_are_worked_on_by_one_worker,
            a_deletion_and_claims_at_once_agree,
            processing_stores_contents_and_queues_the_embedding,
            who_processed_a_document_can_go_on_at_once,
            a_commit_that_comes_twice_has_one_effect,
            a_large_document_is_stored,
            the_first_indexed_version_becomes_visible,
            a_newer_version_replaces_the_one_before,
            an_older_version_never_replaces_a_newer,
            embedding_a_version_again_removes_nothing,
            the_shown_version_is_not_removed,
            a_commit_of_another_stage_is_refused,
            a_released_job_keeps_its_place_and_its_tries,
            a_failed_try_waits_and_counts,
            the_last_failed_try_gives_the_job_up,
            what_is_put_off_does_not_count,
            a_failed_job_leaves_a_dead_letter,
            a_failed_removal_fails_its_version_only,
            a_cancelled_job_leaves_no_version_between_states,
            a_superseded_version_is_cleared_away,
            every_commit_finds_that_the_document_is_being_deleted,
            a_heartbeat_puts_off_the_end_and_notes_progress,
            an_expired_lease_is_refused_everywhere,
            a_stolen_lease_is_refused_everywhere,
            an_ended_job_has_no_lease,
            a_heartbeat_and_a_reaper_at_once_agree,
            expired_jobs_are_taken_back,
            jobs_cut_off_too_often_are_given_up,
            a_lone_process_takes_everything_back,
            a_job_of_a_deleted_document_is_not_taken_back,
            reapers_at_once_take_each_job_back_once,
            the_next_delayed_job_is_known,
            jobs_are_listed_newest_first,
            dead_letters_are_listed_newest_first,
            a_dead_letter_is_replayed_once,
            dead_letters_are_filtered,
            dead_letters_are_counted_by_cause,
            purged_dead_letters_leave_their_documents_failed,
            each_try_of_a_job_is_remembered,
            only_the_last_tries_are_remembered,
            a_queue_tells_what_is_dead_and_what_has_ended,
            a_replayed_deletion_goes_on,
            another_tenants_jobs_are_missing,
            workers_are_known_while_they_are_heard_of,
            workers_that_never_signed_off_are_forgotten,
            the_depth_of_each_queue_is_known,
            ended_jobs_are_purged_unless_they_have_a_dead_letter,
        ]);
    };
}
