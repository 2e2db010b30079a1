//! Watching documents.

use vectrion_core::{Result, document::DocumentFilter, tenancy::CallContext};

use super::{Ingestion, WatchStream};
use crate::CollectionRef;

impl Ingestion {
    /// Changes after a revision; 0 gives first every document that matches, as it is now.
    pub async fn watch(
        &self,
        context: &CallContext,
        collection: Option<&CollectionRef>,
        filter: DocumentFilter,
        after_revision: i64,
    ) -> Result<WatchStream> {
        let _ = (context, collection, filter, after_revision);
        todo!()
    }
}
