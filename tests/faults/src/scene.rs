//! One fault after the other, on an installation that is new after each that failed.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;
use rand::{SeedableRng as _, rngs::StdRng};

use crate::{
    environment::{Installation, Services},
    groups::{Fault, FaultKind},
    invariants,
    load::{Load, reader::Reader},
    report::{Report, Row, Verdict, panic_text, seconds},
};

/// Time that a document may take to be acknowledged while nothing is out of order.
pub const SOON: Duration = Duration::from_secs(30);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub full: bool,
    /// Time that the mixture takes.
    pub mixture: Duration,
    pub seed: u64,
}

/// What a fault works with.
pub struct Scene {
    pub installation: Installation,
    pub load: Arc<Load>,
    pub extent: Extent,
    pub rng: StdRng,
    /// What has to stay for as long as the installation.
    pub held: Vec<Box<dyn Any + Send>>,
}

/// What a fault has to tell.
#[derive(Debug, Default)]
pub struct Told {
    pub done: String,
    pub outcome: String,
    /// If it is not the time that the documents take to settle afterwards.
    pub recovery: Option<Duration>,
    /// What is missing for the fault to count.
    pub not_run: Option<&'static str>,
}

impl Told {
    pub fn new(done: impl Into<String>, outcome: impl Into<String>) -> Self {
        Self { done: done.into(), outcome: outcome.into(), ..Self::default() }
    }

    #[must_use]
    pub fn recovered_in(mut self, recovery: Duration) -> Self {
        self.recovery = Some(recovery);
        self
    }
}

impl Scene {
    async fn new(services: &Arc<Services>, extent: Extent) -> Result<Self> {
        let installation = Installation::start(services).await?;
        let load = Arc::new(Load::start(&installation).await?);
        Ok(Self { installation, load, extent, rng: StdRng::seed_from_u64(extent.seed), held: Vec::new() })
    }
}

/// Injects the faults, and tells of each as it ends.
pub async fn run(faults: &[Fault], services: &Arc<Services>, extent: Extent, report: &mut Report) -> Result<()> {
    let mut scene = None;
    for fault in faults {
        if fault.own_installation {
            scene = None;
        }
        if scene.is_none() {
            services.mend().await?;
            scene = Some(Scene::new(services, extent).await.context("two servers and two workers do not start")?);
        }
        let Some(current) = scene.as_mut() else { continue };
        println!("==> {}: {}", fault.number, fault.name);
        let row = inject(fault, current).await;
        println!("    {:?} in {} s: {}", row.verdict, row.took_s, row.outcome);
        for violation in &row.violations {
            println!("    {violation}");
        }
        if row.verdict == Verdict::Fail {
            println!("{}", current.installation.logs());
            if let Some(kept) = std::env::var_os("VECTRION_FAULTS_KEEP") {
                keep(current, fault, &kept)?;
            }
        }
        if row.verdict != Verdict::Pass || fault.own_installation {
            scene = None;
        }
        report.rows.push(row);
    }
    Ok(())
}

/// Copies the logs to where they outlive the run.
fn keep(scene: &Scene, fault: &Fault, directory: &std::ffi::OsStr) -> Result<()> {
    let directory = std::path::Path::new(directory).join(fault.number.to_string());
    std::fs::create_dir_all(&directory)?;
    for process in scene.installation.servers.iter().chain(&scene.installation.workers) {
        std::fs::write(directory.join(format!("{}.log", process.name)), process.log())?;
    }
    Ok(())
}

async fn inject(fault: &Fault, scene: &mut Scene) -> Row {
    let start = Instant::now();
    let reader = Reader::start(&scene.load);
    let ended = tokio::time::timeout(fault.at_most(&scene.extent), async {
        let told = AssertUnwindSafe(kind(fault.kind, scene)).catch_unwind().await;
        let told = told.unwrap_or_else(|panic| Err(anyhow!("{}", panic_text(&panic))))?;
        scene.load.calls.forgive(false);
        scene.installation.mend().await?;
        if told.not_run.is_some() {
            return Ok((told, None));
        }
        let findings = invariants::check(&mut scene.installation, &scene.load).await?;
        anyhow::Ok((told, Some(findings)))
    });
    let ended = ended.await.unwrap_or_else(|_| Err(anyhow!("it did not end in time")));
    let mut row = Row {
        number: fault.number,
        fault: fault.name,
        done: String::new(),
        outcome: String::new(),
        recovery_s: None,
        violations: reader.violations(),
        verdict: Verdict::Pass,
        took_s: 0.0,
    };
    row.violations.extend(scene.load.calls.take_violations());
    match ended {
        Ok((told, findings)) => {
            (row.done, row.outcome) = (told.done, told.outcome);
            match findings {
                Some(findings) => {
                    row.recovery_s = Some(seconds(told.recovery.unwrap_or(findings.settled)));
                    row.violations.extend(findings.violations);
                }
                None => row.verdict = Verdict::NotRun,
            }
            if let Some(missing) = told.not_run {
                row.outcome = format!("{}; not run: {missing}", row.outcome);
            }
        }
        Err(error) => {
            row.outcome = format!("{error:#}");
            row.verdict = Verdict::Fail;
        }
    }
    if !row.violations.is_empty() && row.verdict == Verdict::Pass {
        row.verdict = Verdict::Fail;
    }
    let counts = scene.load.calls.take_counts();
    println!("    calls: {counts:?}");
    row.took_s = seconds(start.elapsed());
    row
}

async fn kind(kind: FaultKind, scene: &mut Scene) -> Result<Told> {
    crate::groups::inject(kind, scene).await
}
