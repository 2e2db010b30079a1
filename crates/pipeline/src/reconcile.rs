//! Compares what the database says with what the vector index and the object store hold, tells what does not fit, and
//! repairs it.
//!
//! The database is the truth. What it does not know goes; what it knows and is not there is made again, as far as there
//! is something to make it of. Everything is walked in pages, so that memory stays bounded, and after each page there is a
//! cursor from which another call goes on.
//!
//! What an ingest is just writing is not touched: a version or an upload has its row before its first byte, and its chunks
//! before its first point; documents with a job are passed over; what is younger than [`ReconcileOrder::min_age`] too;
//! and whatever is to be removed is looked at again right before.

mod cursor;
mod leftovers;
mod points;
mod repair;
mod versions;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::stream::BoxStream;
use uuid::Uuid;
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::{CollectionId, DocumentId, TenantId, VersionId},
    page::PageRequest,
    ports::vectors::Generation,
    time::Timestamp,
};

use self::cursor::{Cursor, Phase};
use crate::{Ports, settings::IngestSettings};

/// Versions that are remembered as told of. Beyond, one may be told of again.
const REMEMBERED: usize = 100_000;

/// Whose data is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileScope {
    /// One tenant's.
    Tenant(TenantId),
    /// One collection's. What belongs to no document belongs to no collection either, and is passed over.
    Collection(TenantId, CollectionId),
    /// Only what nobody refers to: points of a collection, and objects of its tenant.
    Orphans(TenantId, CollectionId),
    /// Everybody's, and what tenants left that are gone.
    All,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct ReconcileOrder {
    /// Whose data.
    pub scope: ReconcileScope,
    /// Repair what does not fit, as far as that can be done.
    pub repair: bool,
    /// Read every object and compare its SHA-256, not only its size.
    pub verify_objects: bool,
    /// Things younger than this are not taken for left over.
    pub min_age: Duration,
    /// Where an earlier call left off.
    pub resume: Option<String>,
    /// Trace of the call, which jobs that are queued carry on.
    pub trace_id: String,
}

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// The index has fewer points of a version than that has chunks.
    PointsMissing,
    /// The index has points of a known version that are of none of its chunks.
    PointsStale,
    /// The index has points of a version that is not known.
    PointsOrphaned,
    /// The database has another number of chunks than the version says.
    ChunksMissing,
    /// The bytes of a version are not there.
    ObjectMissing,
    /// The bytes of a version have another length than was uploaded.
    ObjectSizeWrong,
    /// The bytes of a version have another checksum than was uploaded.
    ObjectCorrupt,
    /// Objects of a version or an upload that is not known.
    ObjectOrphaned,
    /// An object with a name that is none of ours.
    ObjectUnknown,
    /// A version waits between states, or a document for its removal, and no job is there that would go on.
    JobMissing,
    /// A tenant is gone and something of it is still there.
    TenantLeftover,
    /// Points of another embedding model or chunker than the configured ones. The next start drops them if no document
    /// needs them.
    GenerationStale,
}

impl FindingKind {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PointsMissing => "points_missing",
            Self::PointsStale => "points_stale",
            Self::PointsOrphaned => "points_orphaned",
            Self::ChunksMissing => "chunks_missing",
            Self::ObjectMissing => "object_missing",
            Self::ObjectSizeWrong => "object_size_wrong",
            Self::ObjectCorrupt => "object_corrupt",
            Self::ObjectOrphaned => "object_orphaned",
            Self::ObjectUnknown => "object_unknown",
            Self::JobMissing => "job_missing",
            Self::TenantLeftover => "tenant_leftover",
            Self::GenerationStale => "generation_stale",
        }
    }
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing was done: it was not asked for, or nothing can be done by itself.
    None,
    /// A job was queued that makes it right.
    Queued,
    /// What was too much is removed.
    Removed,
    /// Somebody else is at work there; look again later.
    Busy,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Whose.
    pub tenant: TenantId,
    /// Which document, if that is known.
    pub document: Option<DocumentId>,
    /// Which version, if it is of one.
    pub version: Option<VersionId>,
    /// Key, or beginning of the keys, of objects.
    pub object_key: Option<String>,
    /// What the database expects: chunks, or bytes.
    pub expected: u64,
    /// What is there: points, objects, or bytes.
    pub found: u64,
    /// What became of it.
    pub remedy: Remedy,
    /// For people.
    pub message: String,
}

/// How far a call has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileProgress {
    /// Versions looked at.
    pub versions: u64,
    /// Points looked at.
    pub points: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Findings.
    pub findings: u64,
    /// Findings that a remedy was found for.
    pub remedied: u64,
    /// Where another call goes on; none at the end.
    pub resume: Option<String>,
}

/// What a call tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileEvent {
    /// Something does not fit.
    Finding(Box<Finding>),
    /// A page was done.
    Progress(ReconcileProgress),
    /// All was done; the last event.
    Finished(ReconcileProgress),
}

/// The events of a call.
pub type ReconcileStream = BoxStream<'static, Result<ReconcileEvent>>;

/// A walk over everything in its scope.
pub(crate) struct Reconciliation {
    ports: Arc<Ports>,
    ingest: IngestSettings,
    order: ReconcileOrder,
    progress: ReconcileProgress,
    /// Of a page that is being worked on.
    findings: Vec<Finding>,
    /// Versions that were told of.
    told: HashSet<VersionId>,
}

impl Reconciliation {
    pub(crate) fn new(ports: Arc<Ports>, ingest: IngestSettings, order: ReconcileOrder) -> Self {
        Self {
            ports,
            ingest,
            order,
            progress: ReconcileProgress::default(),
            findings: Vec::new(),
            told: HashSet::new(),
        }
    }

    /// Walks as fast as its events are taken. Dropping the stream ends it between, or within, steps that may all be made
    /// again.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, reason `INVALID_CURSOR`, for a cursor of another call.
    pub(crate) fn into_stream(mut self) -> Result<ReconcileStream> {
        let mut cursor = match &self.order.resume {
            Some(text) => Cursor::parse(text)?,
            None => Cursor::default(),
        };
        let stream = async_stream::try_stream! {
            loop {
                let next = self.step(&cursor).await?;
                for finding in std::mem::take(&mut self.findings) {
                    yield ReconcileEvent::Finding(Box::new(finding));
                }
                let Some(next) = next else { break };
                cursor = next;
                self.progress.resume = Some(cursor.text()?);
                yield ReconcileEvent::Progress(self.progress.clone());
            }
            self.progress.resume = None;
            yield ReconcileEvent::Finished(self.progress.clone());
        };
        Ok(Box::pin(stream))
    }

    /// Works on a page; where to go on, if there is more.
    async fn step(&mut self, cursor: &Cursor) -> Result<Option<Cursor>> {
        if cursor.phase == Phase::Leftovers {
            let next = self.leftovers(cursor.after.as_deref()).await?;
            return Ok(next.map(|after| Cursor { after: Some(after), ..cursor.clone() }));
        }
        let (tenant, next_tenant) = match self.order.scope {
            ReconcileScope::Tenant(tenant)
            | ReconcileScope::Collection(tenant, _)
            | ReconcileScope::Orphans(tenant, _) => (Some(tenant), None),
            ReconcileScope::All => self.tenant_at(cursor).await?,
        };
        let Some(tenant) = tenant else { return Ok(self.after_tenants()) };
        let after = cursor.after.as_deref();
        let within = match cursor.phase {
            Phase::Versions => self.versions(tenant, after).await?,
            Phase::Points => self.points(tenant, after).await?,
            Phase::Uploads => self.uploads(tenant, after).await?,
            Phase::Leftovers => None,
        };
        if let Some(after) = within {
            return Ok(Some(Cursor { after: Some(after), ..cursor.clone() }));
        }
        Ok(match (cursor.phase.next(), next_tenant) {
            (Some(phase), _) => Some(Cursor { phase, after: None, ..cursor.clone() }),
            (None, Some(token)) => Some(Cursor { tenants: Some(token), ..Cursor::default() }),
            (None, None) => self.after_tenants(),
        })
    }

    /// The tenant at which a walk over all of them is, and where the next one is.
    async fn tenant_at(&self, cursor: &Cursor) -> Result<(Option<TenantId>, Option<String>)> {
        let page = PageRequest { size: 1, token: cursor.tenants.clone() };
        let page = self.ports.directory.list_tenants(&page).await?;
        Ok((page.items.first().map(|tenant| tenant.id), page.next))
    }

    fn after_tenants(&self) -> Option<Cursor> {
        let all = self.order.scope == ReconcileScope::All;
        all.then(|| Cursor { phase: Phase::Leftovers, ..Cursor::default() })
    }

    /// The collection whose versions are looked at; none: all.
    fn collection(&self) -> Option<CollectionId> {
        match self.order.scope {
            ReconcileScope::Collection(_, collection) => Some(collection),
            ReconcileScope::Tenant(_) | ReconcileScope::Orphans(..) | ReconcileScope::All => None,
        }
    }

    /// The collection whose points are looked at; none: all.
    fn collection_of_points(&self) -> Option<CollectionId> {
        match self.order.scope {
            ReconcileScope::Collection(_, collection) | ReconcileScope::Orphans(_, collection) => Some(collection),
            ReconcileScope::Tenant(_) | ReconcileScope::All => None,
        }
    }

    /// Whether only what nobody refers to is looked for.
    fn is_of_orphans(&self) -> bool {
        matches!(self.order.scope, ReconcileScope::Orphans(..))
    }

    fn report(&mut self, finding: Finding) {
        tracing::warn!(
            tenant_id = %finding.tenant,
            kind = finding.kind.as_str(),
            document_id = finding.document.map(tracing::field::display),
            version_id = finding.version.map(tracing::field::display),
            remedy = ?finding.remedy,
            "what is stored does not fit together"
        );
        metrics::counter!("vectrion_reconcile_findings_total", "kind" => finding.kind.as_str()).increment(1);
        self.progress.findings += 1;
        self.progress.remedied += u64::from(matches!(finding.remedy, Remedy::Queued | Remedy::Removed));
        self.findings.push(finding);
    }

    /// Whether this is the first time that a version is told of.
    fn is_news(&mut self, version: VersionId) -> bool {
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(version)
    }

    /// Whether something is old enough to be taken for left over. Ids of ours hold the time at which they were made.
    fn is_old(&self, id: Uuid) -> bool {
        let Some(made) = id.get_timestamp() else { return true };
        let (seconds, nanos) = made.to_unix();
        let millis = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
        let made = Timestamp(i64::try_from(millis).unwrap_or(i64::MAX));
        let now = self.ports.clock.now();
        // What comes from the future is of a clock that is wrong, and tells nothing.
        self.order.min_age.is_zero() || (made <= now && now.since(made) >= self.order.min_age)
    }

    fn is_current(&self, generation: &Generation, tenant: TenantId) -> bool {
        self.ports.vector_scope(tenant).generation == *generation
    }
}

/// A cursor that no call gave.
fn invalid_cursor() -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "INVALID_CURSOR",
        "resume_token is not one that an earlier call of this kind gave; begin without one",
    )
}
