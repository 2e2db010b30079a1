//! Lifecycle policies: what of a collection is removed by itself.

use crate::{
    Error, Result,
    ids::{CollectionId, DocumentId, TenantId, VersionId},
    time::Timestamp,
};

/// Days at the most: a hundred years.
const MAX_DAYS: u32 = 36_500;

/// What of a collection is removed by itself. A rule that is not set removes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRules {
    /// Days after which a document is deleted, counted from its newest version.
    pub retention_days: Option<u32>,
    /// Newest versions of a document that are kept, beside the one that searches see.
    pub keep_versions: Option<u32>,
    /// Days after which a document is deleted that failed and was never searchable.
    pub purge_failed_days: Option<u32>,
    /// Removes points of the collection, and objects of its tenant, that no document refers to.
    pub purge_orphans: bool,
}

impl LifecycleRules {
    /// Checks the rules.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the rule.
    pub fn check(&self) -> Result<()> {
        for (field, days) in [("retention_days", self.retention_days), ("purge_failed_days", self.purge_failed_days)] {
            if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
                return Err(Error::invalid_field(field, format!("is 1 to {MAX_DAYS}, or 0 for no such rule")));
            }
        }
        if self.keep_versions == Some(0) {
            return Err(Error::invalid_field("keep_versions", "keeps at least 1 version; 0 is no such rule"));
        }
        Ok(())
    }

    /// Whether nothing is ever removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules that name documents or versions, in the order in which they are applied.
    #[must_use]
    pub fn by_document(&self) -> Vec<LifecycleRule> {
        let rules = [
            self.retention_days.map(LifecycleRule::Retention),
            self.purge_failed_days.map(LifecycleRule::Failed),
            self.keep_versions.map(LifecycleRule::Versions),
        ];
        rules.into_iter().flatten().collect()
    }
}

/// A rule that names documents or versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleRule {
    /// Documents whose newest version is older than so many days.
    Retention(u32),
    /// Documents that failed so many days ago and were never searchable.
    Failed(u32),
    /// Versions but for the newest so many, and the one that searches see.
    Versions(u32),
}

/// The rules of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecyclePolicy {
    /// The collection.
    pub collection: CollectionId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The rules.
    pub rules: LifecycleRules,
    /// When they were last set.
    pub update_time: Option<Timestamp>,
    /// When what nobody refers to was last looked for.
    pub orphans_time: Option<Timestamp>,
}

/// What a rule would remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleCandidate {
    /// The document.
    pub document: DocumentId,
    /// Its version: the newest, or the one that is to go.
    pub version_id: VersionId,
    /// Number of that version.
    pub version: u32,
    /// File name.
    pub filename: String,
    /// Since when: when the version came, or when it failed.
    pub since: Timestamp,
    /// Revision of the document: by it is seen whether it has changed.
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_would_remove_everything_are_refused() {
        let refused = |rules: LifecycleRules| rules.check().expect_err("refused").violations()[0].field.clone();
        assert_eq!(refused(LifecycleRules { retention_days: Some(0), ..Default::default() }), "retention_days");
        assert_eq!(refused(LifecycleRules { keep_versions: Some(0), ..Default::default() }), "keep_versions");
        assert_eq!(
            refused(LifecycleRules { purge_failed_days: Some(99_999), ..Default::default() }),
            "purge_failed_days"
        );
        let fine = LifecycleRules { retention_days: Some(1), keep_versions: Some(1), ..Default::default() };
        assert!(fine.check().is_ok() && !fine.is_empty() && LifecycleRules::default().is_empty());
        assert_eq!(fine.by_document(), [LifecycleRule::Retention(1), LifecycleRule::Versions(1)]);
    }
}
