//! The store beside the model.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend};
use uuid::Uuid;
use vectrion_core::{
    Error, Result,
    ids::{DeadLetterId, JobId},
    job::{JobState, JobTry, Lease, Stage},
    page::PageRequest,
    ports::{
        Catalog as _, Jobs as _,
        jobs::{DeadLetterFilter, JobFilter, NextJob},
    },
};
use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::conformance::scenario::{LONG, Scenario, TRACE, TRIES, failure, processed, worker};

use super::{
    DOCUMENTS, Step,
    model::{Deed, Document, Job, MAX_INTERRUPTIONS, Told},
};

type Checked<T = ()> = std::result::Result<T, String>;

/// A database, with a door for what no port does.
pub(super) struct Connected {
    store: Store,
    raw: DatabaseConnection,
}

pub(super) struct World<'a> {
    connected: &'a Connected,
    scenario: Scenario<'a, Store>,
    documents: Vec<Option<Document>>,
    /// Newest first: the lease, and which job of which document it is.
    leases: Vec<(Lease, usize, usize)>,
}

macro_rules! same {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!("{}: {left:?} in the database, {right:?} in the model", format_args!($($what)+)));
        }
    }};
}

impl<'a> World<'a> {
    pub(super) async fn connect(url: &str) -> Connected {
        let store = Store::connect(url, &StoreSettings::default()).await.expect("a database");
        store.migrate().await.expect("its tables");
        Connected { store, raw: Database::connect(url).await.expect("the same database") }
    }

    /// A new tenant, and nothing to do for the others.
    pub(super) async fn new(connected: &'a Connected) -> Self {
        let end = "UPDATE jobs SET state = 'cancelled', worker_id = NULL, lease_expire_time = NULL
            WHERE state IN ('pending', 'running')";
        connected.raw.execute_unprepared(end).await.expect("ended");
        let scenario = Scenario::new(&connected.store).await;
        Self { connected, scenario, documents: vec![None; DOCUMENTS], leases: Vec::new() }
    }

    pub(super) async fn take(&mut self, step: Step) -> Checked {
        let parts = match step {
            Step::Lose(n) => vec![Step::Expire(n), Step::Reap, Step::Claim],
            Step::StartOver(n) => vec![Step::Cancel(n), Step::Retry(n)],
            single => vec![single],
        };
        for part in parts {
            self.take_one(part).await?;
        }
        Ok(())
    }

    async fn take_one(&mut self, step: Step) -> Checked {
        match step {
            Step::Upload(n) => self.upload(n).await,
            Step::Claim => self.claim().await?,
            Step::Heartbeat(n) => self.heartbeat(n).await?,
            Step::Complete(n) => self.settle(n, Deed::Complete).await?,
            Step::GoOn(n) => self.settle(n, Deed::GoOn).await?,
            Step::FailForNow(n, soon) => self.settle(n, Deed::FailForNow { soon }).await?,
            Step::FailForGood(n) => self.settle(n, Deed::FailForGood).await?,
            Step::PutOff(n) => self.settle(n, Deed::PutOff).await?,
            Step::Release(n) => self.settle(n, Deed::Release).await?,
            Step::Expire(n) => self.expire(n).await,
            Step::Reap => self.reap().await?,
            Step::Wait => self.wait().await,
            Step::Cancel(n) => {
                let store = &self.connected.store;
                let tenant = self.scenario.tenant;
                if let Some(document) = &mut self.documents[n] {
                    let done = store.cancel_work(tenant, document.id).await.map(drop);
                    same!(reason(&done), document.cancel().err(), "cancel");
                }
            }
            Step::Retry(n) => {
                let store = &self.connected.store;
                let tenant = self.scenario.tenant;
                if let Some(document) = &mut self.documents[n] {
                    let done = store.retry(tenant, document.id, JobId::new(), TRACE).await.map(drop);
                    same!(reason(&done), document.retry().err(), "retry");
                }
            }
            Step::Replay(n) => self.replay(n).await?,
            Step::Purge(n) => self.purge(n).await,
            Step::Lose(_) | Step::StartOver(_) => unreachable!("taken apart"),
        }
        self.compare().await
    }

    async fn upload(&mut self, n: usize) {
        if self.documents[n].is_none() {
            let made = self.scenario.uploaded(&format!("{n}"), &format!("{n}")).await;
            self.documents[n] = Some(Document::new(made.id));
        }
    }

    /// Which of several ready jobs is the fairest is checked elsewhere: here it must be one that may be claimed, and there
    /// must be none when none is given.
    async fn claim(&mut self) -> Checked {
        let store = &self.connected.store;
        let claimed = store.claim(&Stage::ALL, &worker("w"), LONG).await.map_err(|error| error.to_string())?;
        // A claim calls off what it finds to be of no use.
        let jobs = self.stored_jobs().await;
        for document in self.documents.iter_mut().flatten() {
            for at in 0..document.jobs.len() {
                let job = &document.jobs[at];
                let state = jobs.iter().find(|stored| Some(stored.id) == job.id).map(|stored| stored.state);
                let useless = document.is_claimable(job) && document.overtakes(job);
                if useless && state == Some(JobState::Cancelled) {
                    document.jobs[at].state = JobState::Cancelled;
                }
            }
        }
        let Some(lease) = claimed else {
            let left = self.documents.iter().flatten().find_map(|document| {
                let ready = |job: &&Job| document.is_claimable(job);
                document.jobs.iter().find(ready).cloned()
            });
            return left.map_or(Ok(()), |job| Err(format!("a ready job was not claimed: {job:?}")));
        };
        for (n, document) in self.documents.iter_mut().enumerate() {
            let Some(document) = document else { continue };
            let Some(at) = document.jobs.iter().position(|job| job.id == Some(lease.job.id)) else { continue };
            let job = &document.jobs[at];
            if !document.is_claimable(job) || document.overtakes(job) {
                return Err(format!("a job was claimed that may not be: {job:?}"));
            }
            if lease.token <= job.token {
                return Err(format!("the token did not grow: {} after {}", lease.token, job.token));
            }
            document.claim(at, lease.token);
            self.leases.insert(0, (lease, n, at));
            return Ok(());
        }
        Err(format!("a job was claimed that is none of these: {lease:?}"))
    }

    async fn heartbeat(&mut self, n: usize) -> Checked {
        let Some((lease, document, at)) = self.leases.get(n).cloned() else { return Ok(()) };
        let store = &self.connected.store;
        let kept = store.heartbeat(&lease, LONG, None).await;
        let work = store.check_work(&lease).await;
        let Some(document) = &self.documents[document] else { return Ok(()) };
        let job = &document.jobs[at];
        let holds = job.is_held() && job.token == lease.token;
        let told = if holds { Told::Done } else { Told::Lost };
        same!(reason(&kept), told.reason(), "heartbeat");
        let told = if holds && job.called_off { Told::CalledOff } else { told };
        same!(reason(&work), told.reason(), "a look at the work");
        Ok(())
    }

    async fn settle(&mut self, n: usize, deed: Deed) -> Checked {
        let Some((lease, document, at)) = self.leases.get(n).cloned() else { return Ok(()) };
        let store = &self.connected.store;
        let down = Error::unavailable("DOWN", "down");
        let mut goes_on = None;
        let done = match deed {
            Deed::Complete | Deed::GoOn => match lease.job.payload.stage() {
                Stage::ProcessDocument => {
                    let next = NextJob { max_attempts: TRIES, claim_for: (deed == Deed::GoOn).then_some(LONG) };
                    let done = store.finish_processing(&lease, processed(&lease, &["text"]), next).await;
                    done.map(|claimed| goes_on = claimed)
                }
                Stage::EmbedDocument => store.finish_embedding(&lease).await,
                Stage::DeleteDocument => store.finish_deletion(&lease).await,
            },
            Deed::FailForNow { soon } => {
                store.retry_later(&lease, &down, if soon { Duration::ZERO } else { LONG }).await
            }
            Deed::FailForGood => store.fail(&lease, failure(&lease, "NO_LUCK")).await.map(drop),
            Deed::PutOff => store.put_off(&lease, &down, LONG).await,
            Deed::Release => store.release(&lease).await,
        };
        let n = document;
        let Some(document) = &mut self.documents[n] else { return Ok(()) };
        let told = document.settle(at, lease.token, deed);
        same!(reason(&done), told.reason(), "{deed:?}");
        if let Some(next) = goes_on {
            let at = document.jobs.len() - 1;
            let job = &mut document.jobs[at];
            (job.id, job.token) = (Some(next.job.id), next.token);
            self.leases.insert(0, (next, n, at));
        }
        Ok(())
    }

    /// As if time had passed for this job alone.
    async fn expire(&mut self, n: usize) {
        let Some((lease, document, at)) = self.leases.get(n).cloned() else { return };
        let Some(document) = &mut self.documents[document] else { return };
        let job = &mut document.jobs[at];
        if job.state == JobState::Running && job.token == lease.token {
            job.expired = true;
            self.change_job("lease_expire_time = 1", lease.job.id).await;
        }
    }

    async fn wait(&mut self) {
        let mut waiting = Vec::new();
        for job in self.documents.iter_mut().flatten().flat_map(|document| &mut document.jobs) {
            if job.state == JobState::Pending && !job.due {
                job.due = true;
                waiting.extend(job.id);
            }
        }
        for id in waiting {
            self.change_job("run_time = create_time", id).await;
        }
    }

    async fn change_job(&self, what: &str, id: JobId) {
        let raw = &self.connected.raw;
        let id = match raw.get_database_backend() {
            DbBackend::Postgres => format!("'{}'", id.0),
            _ => format!("x'{}'", id.0.simple()),
        };
        raw.execute_unprepared(&format!("UPDATE jobs SET {what} WHERE id = {id}")).await.expect("changed");
    }

    async fn reap(&mut self) -> Checked {
        let reaped = self.connected.store.reap(MAX_INTERRUPTIONS).await.map_err(|error| error.to_string())?;
        let expected: u64 = self.documents.iter_mut().flatten().map(Document::reap).sum();
        same!(reaped, expected, "jobs taken back");
        Ok(())
    }

    /// The dead letter of the first job of a document that has one, in the order in which the jobs were made.
    async fn dead_letter(&self, n: usize) -> Option<(usize, DeadLetterId)> {
        let document = self.documents[n].as_ref()?;
        let at = document.jobs.iter().position(|job| job.dead_letter)?;
        let id = document.jobs[at].id?;
        let letters = self.letters().await;
        letters.into_iter().find(|(job, _)| *job == id).map(|(_, letter)| (at, letter))
    }

    async fn replay(&mut self, n: usize) -> Checked {
        let Some((at, letter)) = self.dead_letter(n).await else { return Ok(()) };
        let store = &self.connected.store;
        let tenant = self.scenario.tenant;
        store.replay_dead_letter(tenant, letter, TRACE).await.map_err(|error| error.to_string())?;
        let twice = store.replay_dead_letter(tenant, letter, TRACE).await.map(drop);
        same!(reason(&twice), Some("DEAD_LETTER_NOT_FOUND"), "a second replay");
        if let Some(document) = &mut self.documents[n] {
            document.replay(at);
        }
        Ok(())
    }

    async fn purge(&mut self, n: usize) {
        let Some((at, letter)) = self.dead_letter(n).await else { return };
        let purged = self.connected.store.purge_dead_letters(self.scenario.tenant, &[letter]).await;
        assert_eq!(purged.expect("purged"), 1);
        if let Some(document) = &mut self.documents[n] {
            document.jobs[at].dead_letter = false;
        }
    }

    async fn stored_jobs(&self) -> Vec<vectrion_core::job::Job> {
        let page = PageRequest { size: 1000, token: None };
        let listed = self.connected.store.list_jobs(self.scenario.tenant, &JobFilter::default(), &page).await;
        let mut jobs = listed.expect("the jobs").items;
        jobs.sort_by_key(|job| (job.create_time, job.id));
        jobs
    }

    async fn letters(&self) -> Vec<(JobId, DeadLetterId)> {
        let page = PageRequest { size: 1000, token: None };
        let filter = DeadLetterFilter::default();
        let listed = self.connected.store.list_dead_letters(self.scenario.tenant, &filter, &page).await;
        listed.expect("the dead letters").items.into_iter().map(|letter| (letter.job, letter.id)).collect()
    }

    /// Everything that can be seen is as the model says.
    async fn compare(&mut self) -> Checked {
        let (stored, letters) = (self.stored_jobs().await, self.letters().await);
        let store = &self.connected.store;
        for document in self.documents.iter_mut().flatten() {
            let shown = self.scenario.now(document.id).await;
            same!(shown.state, document.state, "the document's state");
            let why = shown.failure.map(|failure| (failure.stage, failure.reason));
            let expected = document.failure.map(|(stage, reason)| (stage.as_str().to_owned(), reason.to_owned()));
            same!(why, expected, "why it failed");
            let chunks = store.chunks_from(self.scenario.tenant, shown.version_id, 0, 9).await.expect("a look");
            same!(!chunks.is_empty(), document.has_chunks, "whether it has chunks");

            let jobs: Vec<_> = stored.iter().filter(|job| job.document == document.id).collect();
            same!(jobs.len(), document.jobs.len(), "number of jobs");
            // New ones are known by what the known ones leave.
            let known: Vec<JobId> = document.jobs.iter().filter_map(|job| job.id).collect();
            let mut fresh = jobs.iter().filter(|job| !known.contains(&job.id));
            for job in &mut document.jobs {
                if job.id.is_none() {
                    job.id = fresh.next().map(|job| job.id);
                }
            }
            for job in &document.jobs {
                let Some(stored) = jobs.iter().find(|stored| Some(stored.id) == job.id) else {
                    return Err(format!("{job:?} is not in the database"));
                };
                same!(stored.payload.stage(), job.stage, "the stage of a job");
                same!(stored.state, job.state, "the state of {job:?}");
                same!(
                    (stored.attempts, stored.interruptions),
                    (job.attempts, job.interruptions),
                    "the tries of {job:?}"
                );
                same!(stored.history.len(), job.tries.min(JobTry::KEPT), "the history of {job:?}");
                let has_letter = letters.iter().any(|(id, _)| Some(*id) == job.id);
                same!(has_letter, job.dead_letter, "the dead letter of {job:?}");
                same!(stored.worker.is_some(), job.state == JobState::Running, "the holder of {job:?}");
            }
            let held = document.jobs.iter().filter(|job| job.is_held()).count();
            if held > 1 {
                return Err(format!("{held} workers hold jobs of one document"));
            }
        }
        same!(
            letters.iter().map(|(job, _)| job.0).collect::<std::collections::HashSet<Uuid>>().len(),
            letters.len(),
            "dead letters"
        );
        Ok(())
    }

    /// Whatever has happened: with workers that do their work, every document ends indexed or failed.
    pub(super) async fn finish(&mut self) -> Checked {
        for n in 0..self.leases.len() {
            self.take(Step::Expire(n)).await?;
        }
        self.take(Step::Reap).await?;
        self.take(Step::Wait).await?;
        for _ in 0..DOCUMENTS * 8 {
            self.take(Step::Claim).await?;
            self.take(Step::Complete(0)).await?;
        }
        for document in self.documents.iter().flatten() {
            if !document.state.is_terminal() || document.jobs.iter().any(Job::is_unfinished) {
                return Err(format!("it goes nowhere: {document:?}"));
            }
        }
        Ok(())
    }
}

fn reason<T>(outcome: &Result<T>) -> Option<&str> {
    outcome.as_ref().err().map(Error::reason)
}
