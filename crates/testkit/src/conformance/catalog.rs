//! Conformance of [`Catalog`](vectrion_core::ports::Catalog).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

mod admission;
mod cancel;
mod conditions;
mod deletion;
mod history;
mod isolation;
mod lists;
mod retry;
mod search;

pub use self::{
    admission::*, cancel::*, conditions::*, deletion::*, history::*, isolation::*, lists::*, retry::*, search::*,
};

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! catalog_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, catalog: [
            an_upload_becomes_a_document_with_its_first_job,
            equal_bytes_change_nothing_but_metadata,
            other_bytes_make_a_version,
            the_bytes_of_another_document_give_that_document,
            a_document_that_is_being_deleted_never_matches,
            an_upload_is_admitted_once_and_not_after_its_end,
            an_upload_into_a_missing_collection_changes_nothing,
            of_equal_uploads_at_once_one_makes_the_document,
            of_equal_bytes_at_once_one_makes_the_document,
            different_uploads_at_once_make_a_version_each,
            documents_are_listed_in_any_order,
            a_list_stays_sound_while_documents_come,
            a_page_token_fits_its_own_list_only,
            documents_are_filtered,
            versions_are_listed_newest_first,
            chunks_and_pages_are_listed_in_order,
            chunks_are_read_from_an_ordinal_on,
            contents_of_a_missing_document_are_missing,
            metadata_is_replaced_as_a_whole,
            metadata_comes_back_as_it_was_given,
            every_kind_of_metadata_condition_is_met,
            a_deletion_hides_the_document_and_waits_for_a_worker,
            a_deletion_calls_off_what_waits,
            a_deletion_begins_once,
            a_deletion_leaves_nothing,
            a_failed_version_is_retried_at_its_stage,
            a_failed_deletion_is_retried,
            what_has_not_failed_is_not_retried,
            work_that_waits_is_called_off_at_once,
            work_in_hand_is_told_and_commits_nothing,
            a_cancelled_document_is_retried_from_its_beginning,
            a_removal_given_up_after_a_cancel_is_replayed,
            cancelling_a_version_leaves_the_indexed_one,
            what_is_not_under_way_is_not_cancelled,
            a_cancel_and_workers_at_once_agree,
            only_the_indexed_version_is_visible,
            a_version_replaces_another_in_one_step,
            a_search_filter_narrows_down,
            many_chunks_are_looked_up_at_once,
            matching_documents_show_that_there_are_more,
            changes_come_in_order_each_document_once,
            removals_are_told,
            changes_are_filtered,
            a_history_that_is_not_whole_asks_for_a_resync,
            a_first_look_goes_to_its_end_whatever_was_forgotten,
            a_watch_misses_nothing,
            documents_are_counted_by_state,
            another_tenants_documents_are_missing,
            another_tenants_documents_cannot_be_changed,
            another_tenants_uploads_do_not_match,
        ]);
    };
}
