//! What the documents and jobs of a tenant should be, in a few lines each.

use vectrion_core::{
    document::DocumentState,
    ids::{DocumentId, JobId},
    job::{JobState, Stage},
};
use vectrion_testkit::conformance::scenario::TRIES;

/// Interruptions before a job is given up.
pub(super) const MAX_INTERRUPTIONS: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Known once it was seen.
    pub(super) id: Option<JobId>,
    pub(super) stage: Stage,
    pub(super) state: JobState,
    pub(super) attempts: u32,
    pub(super) interruptions: u32,
    /// Of a waiting one: whether its time has come.
    pub(super) due: bool,
    /// Of a running one: its fencing token, whether the lease has run out, whether it was called off.
    pub(super) token: i64,
    pub(super) expired: bool,
    pub(super) called_off: bool,
    pub(super) dead_letter: bool,
    /// Tries that have ended.
    pub(super) tries: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) id: DocumentId,
    pub(super) state: DocumentState,
    /// Stage and reason.
    pub(super) failure: Option<(Stage, &'static str)>,
    pub(super) has_chunks: bool,
    pub(super) jobs: Vec<Job>,
}

/// What the holder of a lease is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Lost,
    CalledOff,
}

impl Told {
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Done => None,
            Self::Lost => Some("LEASE_LOST"),
            Self::CalledOff => Some("JOB_CANCELLED"),
        }
    }
}

/// What the holder of a lease does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Complete,
    /// Completes the job, and claims what follows.
    GoOn,
    FailForNow {
        soon: bool,
    },
    FailForGood,
    PutOff,
    Release,
}

impl Job {
    fn new(stage: Stage) -> Self {
        Self {
            id: None,
            stage,
            state: JobState::Pending,
            attempts: 0,
            interruptions: 0,
            due: true,
            token: 0,
            expired: false,
            called_off: false,
            dead_letter: false,
            tries: 0,
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.state, JobState::Pending | JobState::Running)
    }

    /// Whether somebody may still write for it.
    pub(super) fn is_held(&self) -> bool {
        self.state == JobState::Running && !self.expired
    }

    fn wait(&mut self, counts: bool, due: bool) {
        self.state = JobState::Pending;
        self.due = due;
        self.tries += 1;
        if !counts {
            self.attempts -= 1;
        }
    }

    fn end(&mut self, state: JobState) {
        if self.state == JobState::Running {
            self.tries += 1;
        }
        self.state = state;
    }
}

impl Document {
    pub(super) fn new(id: DocumentId) -> Self {
        let jobs = vec![Job::new(Stage::ProcessDocument)];
        Self { id, state: DocumentState::Uploaded, failure: None, has_chunks: false, jobs }
    }

    fn becomes(&mut self, state: DocumentState) {
        (self.state, self.failure) = (state, None);
    }

    fn fails(&mut self, stage: Stage, reason: &'static str) {
        (self.state, self.failure) = (DocumentState::Failed, Some((stage, reason)));
    }

    /// Whether a removal has nothing to do any more, because its version goes on, or was indexed.
    pub(super) fn overtakes(&self, job: &Job) -> bool {
        job.stage == Stage::DeleteDocument && self.state != DocumentState::Failed
    }

    pub(super) fn is_claimable(&self, job: &Job) -> bool {
        job.state == JobState::Pending && job.due && !self.jobs.iter().any(Job::is_held)
    }

    pub(super) fn claim(&mut self, at: usize, token: i64) {
        let job = &mut self.jobs[at];
        (job.state, job.token, job.expired) = (JobState::Running, token, false);
        job.attempts += 1;
        match job.stage {
            Stage::ProcessDocument => self.becomes(DocumentState::Processing),
            Stage::EmbedDocument => self.becomes(DocumentState::Embedding),
            Stage::DeleteDocument => {}
        }
    }

    /// What comes of a deed under the lease with this token.
    pub(super) fn settle(&mut self, at: usize, token: i64, deed: Deed) -> Told {
        let job = &self.jobs[at];
        if !job.is_held() || job.token != token {
            return Told::Lost;
        }
        if job.called_off {
            self.withdraw(at);
            // Giving the job back is no commit, and succeeds.
            return if deed == Deed::Release { Told::Done } else { Told::CalledOff };
        }
        let stage = job.stage;
        match deed {
            Deed::Complete | Deed::GoOn => {
                self.jobs[at].end(JobState::Succeeded);
                match stage {
                    Stage::ProcessDocument => {
                        self.has_chunks = true;
                        self.becomes(DocumentState::Processed);
                        self.jobs.push(Job::new(Stage::EmbedDocument));
                        if deed == Deed::GoOn {
                            self.claim(self.jobs.len() - 1, 1);
                        }
                    }
                    Stage::EmbedDocument => self.becomes(DocumentState::Indexed),
                    Stage::DeleteDocument => {
                        if self.state != DocumentState::Indexed {
                            self.has_chunks = false;
                        }
                    }
                }
            }
            Deed::FailForNow { .. } if job.attempts >= TRIES => self.give_up(at, "DOWN"),
            Deed::FailForNow { soon } => self.jobs[at].wait(true, soon),
            Deed::FailForGood => self.give_up(at, "NO_LUCK"),
            Deed::PutOff => self.jobs[at].wait(false, false),
            Deed::Release => self.jobs[at].wait(false, true),
        }
        Told::Done
    }

    fn give_up(&mut self, at: usize, reason: &'static str) {
        let job = &mut self.jobs[at];
        job.end(JobState::Failed);
        job.dead_letter = true;
        let stage = job.stage;
        // A removal that is given up says nothing about its version, which has failed before or goes on.
        if stage != Stage::DeleteDocument {
            self.fails(stage, reason);
        }
    }

    fn withdraw(&mut self, at: usize) {
        self.jobs[at].end(JobState::Cancelled);
        self.fails(self.jobs[at].stage, "CANCELLED");
        if self.has_chunks {
            self.jobs.push(Job::new(Stage::DeleteDocument));
        }
    }

    /// Takes back what dead workers held. Returns how many jobs.
    pub(super) fn reap(&mut self) -> u64 {
        let mut reaped = 0;
        for at in 0..self.jobs.len() {
            let job = &mut self.jobs[at];
            if job.state != JobState::Running || !job.expired {
                continue;
            }
            reaped += 1;
            if job.called_off {
                self.withdraw(at);
                continue;
            }
            job.interruptions += 1;
            if job.interruptions > MAX_INTERRUPTIONS {
                self.give_up(at, "INTERRUPTED_TOO_OFTEN");
            } else {
                job.wait(false, true);
            }
        }
        reaped
    }

    pub(super) fn cancel(&mut self) -> Result<(), &'static str> {
        if self.state.is_terminal() {
            return Err("DOCUMENT_NOT_UNDER_WAY");
        }
        for at in 0..self.jobs.len() {
            let job = &mut self.jobs[at];
            if job.stage == Stage::DeleteDocument || !job.is_unfinished() {
                continue;
            }
            if job.is_held() { job.called_off = true } else { self.withdraw(at) }
        }
        Ok(())
    }

    pub(super) fn retry(&mut self) -> Result<(), &'static str> {
        if self.state != DocumentState::Failed {
            return Err("DOCUMENT_NOT_FAILED");
        }
        let clearing = self.jobs.iter().any(|job| job.stage == Stage::DeleteDocument && job.is_unfinished());
        let embeds = self.failure.is_some_and(|(stage, _)| stage == Stage::EmbedDocument);
        for job in &mut self.jobs {
            job.dead_letter = false;
        }
        if embeds && self.has_chunks && !clearing {
            self.becomes(DocumentState::Processed);
            self.jobs.push(Job::new(Stage::EmbedDocument));
        } else {
            self.becomes(DocumentState::Uploaded);
            self.jobs.push(Job::new(Stage::ProcessDocument));
        }
        Ok(())
    }

    /// Runs the oldest dead letter's job again. None if there is no dead letter.
    pub(super) fn replay(&mut self, at: usize) {
        let job = &mut self.jobs[at];
        job.dead_letter = false;
        (job.state, job.due, job.called_off) = (JobState::Pending, true, false);
        (job.attempts, job.interruptions) = (0, 0);
        match job.stage {
            Stage::ProcessDocument => self.becomes(DocumentState::Uploaded),
            Stage::EmbedDocument => self.becomes(DocumentState::Processed),
            Stage::DeleteDocument => {}
        }
    }
}
