//! The machine: disks that are full, clocks that are wrong.

use std::{
    collections::BTreeSet,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::Executor as _;
use tempfile::TempDir;
use vectrion::v1::DocumentState;
use vectrion_testkit::openai::Reply;

use crate::{
    load::{Expected, calls::describe, documents::long_text},
    scene::{SOON, Scene, Told},
};

/// What is on the database's small disk.
const TABLES: [&str; 6] = ["documents", "document_versions", "jobs", "uploads", "outbox", "chunks"];
const LOOK: Duration = Duration::from_millis(200);

/// A file system of its own in memory, of so many MiB. It goes when it is dropped.
struct SmallDisk {
    directory: PathBuf,
    ballast: PathBuf,
}

impl SmallDisk {
    fn mount(directory: &Path, mib: usize) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let size = format!("size={mib}m,mode=777");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory))?;
        Ok(Self { directory: directory.to_owned(), ballast: directory.join("ballast") })
    }

    /// Leaves nothing free.
    fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&self.ballast)?;
        let piece = vec![1; 16 * 1024];
        // Until the disk says that it is full.
        while file.write_all(&piece).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(&self.ballast)?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.directory));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = tokio::task::block_in_place(|| command.output()).with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

pub async fn disk_full(scene: &mut Scene) -> Result<Told> {
    // No object is there yet that would be hidden.
    let disk = SmallDisk::mount(&scene.installation.services.bucket(), 32)?;
    scene.load.upload_many(6, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    let mut outcomes = vec![temporary(scene).await.context("the workers' disk")?];
    outcomes.push(object_store(scene, &disk).await.context("the object store's disk")?);
    scene.held.push(Box::new(disk));
    outcomes.push(database(scene).await.context("the database's disk")?);
    Ok(Told::new(
        "a tmpfs without a free byte under the workers' temporary files, then the object store, then the database",
        outcomes.join("; "),
    ))
}

/// The temporary files of the workers.
async fn temporary(scene: &mut Scene) -> Result<String> {
    let place = tempfile::tempdir()?;
    let disk = SmallDisk::mount(place.path(), 8)?;
    for (n, worker) in scene.installation.workers.iter_mut().enumerate() {
        worker.terminate(SOON).await?;
        worker.move_to(disk.directory.join(format!("worker-{n}")));
    }
    scene.installation.start_missing().await?;
    disk.fill()?;
    let made = long_text(0, 960_000, 200);
    let entry = scene.load.upload(0, &made, Expected::Indexed, SOON).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let document = scene.load.get(&entry).await?;
    let waits = !matches!(document.state(), DocumentState::Indexed | DocumentState::Failed);
    ensure!(waits, "it waits for room, and is not {:?} {:?}", document.state(), document.failure);
    ensure!(scene.installation.workers.iter_mut().all(|worker| worker.is_running()), "a worker died");
    disk.make_room()?;
    let start = Instant::now();
    scene.load.settle(Duration::from_secs(62)).await?;
    for (n, worker) in scene.installation.workers.iter_mut().enumerate() {
        worker.terminate(SOON).await?;
        worker.move_to(scene.installation.directory.path().join(format!("worker-{}", n + 1)));
    }
    scene.installation.start_missing().await?;
    Ok(format!("workers: the job waited, and went on {:.1} s after there was room", start.elapsed().as_secs_f64()))
}

/// The disk of the S3 server. It stays: what is stored while it is there is on it.
async fn object_store(scene: &mut Scene, disk: &SmallDisk) -> Result<String> {
    disk.fill()?;
    let mut reasons = BTreeSet::new();
    for n in 0..3 {
        let refused = scene.load.try_upload(n % 2, n, &scene.load.make(n)).await;
        let status = refused.err().context("an upload was taken by a disk that is full")?;
        reasons.insert(describe(&status));
    }
    disk.make_room()?;
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    let reasons: Vec<String> = reasons.into_iter().collect();
    Ok(format!("object store: uploads refused as {}, taken when there was room", reasons.join(", ")))
}

/// The disk of the database's tables.
async fn database(scene: &mut Scene) -> Result<String> {
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    let disk = SmallDisk::mount(&place.path().join("disk"), 64)?;
    // The server insists that the directory is its own.
    let tables = disk.directory.join("tables");
    std::fs::create_dir(&tables)?;
    run(Command::new("chown").arg("postgres").arg(&tables))?;
    let space = format!("{}_small", scene.installation.name);
    let mut database = scene.installation.sql().await?;
    let create = format!("CREATE TABLESPACE {space} LOCATION '{}'", tables.display());
    database.execute(sqlx::AssertSqlSafe(create)).await?;
    for table in TABLES {
        let alter = format!("ALTER TABLE {table} SET TABLESPACE {space}");
        database.execute(sqlx::AssertSqlSafe(alter)).await?;
    }
    disk.fill()?;
    let (mut refused, mut put_off) = (BTreeSet::new(), 0);
    let start = Instant::now();
    for n in 0.. {
        // Pages that the tables have already take some more rows.
        let made = long_text(0, 970_000 + n, 40);
        match scene.load.try_upload(n % 2, 0, &made).await {
            Ok(document) => drop(scene.load.taken(0, &made, document, Expected::Indexed)),
            Err(status) => drop(refused.insert(describe(&status))),
        }
        let query = "SELECT COUNT(*) FROM jobs WHERE last_error LIKE '%STORAGE_FULL%'";
        put_off = scene.installation.number(query).await?;
        if start.elapsed() > Duration::from_secs(5) && (!refused.is_empty() || put_off > 0) {
            break;
        }
        ensure!(start.elapsed() < SOON, "the database never said that its disk is full");
        tokio::time::sleep(LOOK).await;
    }
    for process in scene.installation.processes() {
        ensure!(process.is_running(), "{} died", process.name);
    }
    disk.make_room()?;
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    for table in TABLES {
        let alter = format!("ALTER TABLE {table} SET TABLESPACE pg_default");
        database.execute(sqlx::AssertSqlSafe(alter)).await?;
    }
    database.execute(sqlx::AssertSqlSafe(format!("DROP TABLESPACE {space}"))).await?;
    let refused: Vec<String> = refused.into_iter().collect();
    Ok(format!(
        "database: uploads refused as [{}], {put_off} jobs put off as STORAGE_FULL, all went on when there was room",
        refused.join(", ")
    ))
}

/// The clock of each process is wrong by this, in seconds: that of the database's machine is right.
const WRONG_BY: i64 = 600;

/// What stands between a process and the clock of its system.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long wrong_by(void) {
    const char *text = getenv("CLOCK_WRONG_BY_SECONDS");
    return text ? atol(text) : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong_by();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return (time_t)-1;
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"#;

pub async fn clock_off(scene: &mut Scene) -> Result<Told> {
    let place = tempfile::tempdir()?;
    let library = clock_library(&place)?;
    let settings = scene.installation.settings.clone();
    for process in scene.installation.processes() {
        process.terminate(SOON).await?;
        // One of each kind is ahead, the other behind.
        let wrong_by = if process.name.ends_with('1') { WRONG_BY } else { -WRONG_BY };
        let variables =
            [("LD_PRELOAD", library.display().to_string()), ("CLOCK_WRONG_BY_SECONDS", wrong_by.to_string())];
        process.spawn(&settings, "", &variables)?;
    }
    scene.installation.wait_ready(Duration::from_secs(60)).await?;
    let line = scene.installation.workers[0].log().lines().last().unwrap_or_default().to_owned();
    let behind = scene.installation.workers[1].log().lines().last().unwrap_or_default().to_owned();
    ensure!(minute(&line) != minute(&behind), "the clocks agree: {line:.40} and {behind:.40}");

    scene.load.upload_many(12, SOON).await?;
    // Leases that are held while they are put off, longer than they last.
    scene.installation.model.answer_embeddings(|_| Reply::embeddings().after(Duration::from_secs(5)));
    scene.load.upload_many(3, SOON).await?;
    scene.load.settle(Duration::from_secs(62)).await?;
    scene.installation.model.answer_embeddings(|_| Reply::embeddings());
    // What a dead process held comes back after its lease, whoever's clock says what.
    scene.load.upload_many(12, SOON).await?;
    scene.installation.workers[0].kill()?;
    let start = Instant::now();
    scene.load.settle(Duration::from_secs(62)).await?;
    let recovered = start.elapsed();
    let query = "SELECT COALESCE(MAX(attempts), 0)::bigint FROM jobs WHERE state = 'succeeded'";
    let tries = scene.installation.number(query).await?;
    ensure!(tries == 1, "a job was done in {tries} tries: a lease was taken for expired");
    for process in scene.installation.processes() {
        process.kill()?;
    }
    scene.installation.start_missing().await?;
    Ok(Told::new(
        "clocks of one server and one worker 10 min ahead, of the others 10 min behind, that of the database right;          leases put off for 5 s, one worker killed",
        "no lease was taken for expired, and that of the dead worker was: leases go by the database's clock",
    )
    .recovered_in(recovered))
}

fn minute(line: &str) -> &str {
    line.get(..16).unwrap_or_default()
}

fn clock_library(place: &TempDir) -> Result<PathBuf> {
    let (source, library) = (place.path().join("clock.c"), place.path().join("clock.so"));
    std::fs::write(&source, CLOCK)?;
    run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl"))?;
    Ok(library)
}
