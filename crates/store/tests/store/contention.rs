//! Leases and the outbox with many at once: on PostgreSQL over several stores, as several processes have them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use vectrion_core::{
    document::DocumentState,
    ids::{DocumentId, JobId},
    job::{JobState, Lease, Stage},
    page::PageRequest,
    ports::{
        Catalog as _, Jobs as _, Outbox as _,
        jobs::{JobFilter, NextJob},
    },
};
use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::conformance::scenario::{LONG, Scenario, TRIES, processed, worker};

const DOCUMENTS: usize = 20;
const WORKERS: usize = 8;
/// So short that it runs out under whoever stands still.
const LEASE: Duration = Duration::from_millis(250);
const STANDSTILL: Duration = Duration::from_millis(300);

/// Commits that were accepted, by job: the fencing tokens.
type Accepted = Arc<Mutex<HashMap<JobId, Vec<i64>>>>;

async fn stores(url: &str, count: usize) -> Vec<Arc<Store>> {
    let settings = StoreSettings { outbox: true, ..StoreSettings::default() };
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(Store::connect(url, &settings).await.expect("a database")));
    }
    stores[0].migrate().await.expect("its tables");
    stores
}

/// Claims and commits until told to stop. Every fourth time it stands still for longer than its lease.
async fn work(store: Arc<Store>, me: usize, accepted: Accepted, stop: Arc<AtomicBool>) {
    let name = worker(&format!("w{me}"));
    let mut claims = me;
    while !stop.load(Ordering::Relaxed) {
        let Some(lease) = store.claim(&Stage::ALL, &name, LEASE).await.expect("a claim") else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        claims += 1;
        let stands_still = claims.is_multiple_of(4);
        if stands_still {
            tokio::time::sleep(STANDSTILL).await;
        }
        match commit(&store, &lease).await {
            Ok(()) => {
                assert!(!stands_still, "a lease that has run out was accepted: {lease:?}");
                accepted.lock().expect("no panic").entry(lease.job.id).or_default().push(lease.token);
            }
            // Also when the machine was too busy for the short lease.
            Err(error) => assert_eq!(error.reason(), "LEASE_LOST", "{error:?}"),
        }
    }
}

async fn commit(store: &Store, lease: &Lease) -> vectrion_core::Result<()> {
    match lease.job.payload.stage() {
        Stage::ProcessDocument => {
            let done = store.finish_processing(lease, processed(lease, &["one", "two"]), NextJob::queued(TRIES)).await;
            done.map(drop)
        }
        Stage::EmbedDocument => store.finish_embedding(lease).await,
        Stage::DeleteDocument => store.finish_deletion(lease).await,
    }
}

async fn one_wins_and_the_others_are_refused(stores: Vec<Arc<Store>>) {
    let scenario = Scenario::new(&*stores[0]).await;
    let mut documents: Vec<DocumentId> = Vec::new();
    for n in 0..DOCUMENTS {
        documents.push(scenario.uploaded(&format!("{n}"), &format!("{n}")).await.id);
    }
    let (accepted, stop) = (Accepted::default(), Arc::new(AtomicBool::new(false)));
    let store = |n: usize| Arc::clone(&stores[n % stores.len()]);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..WORKERS {
        tasks.spawn(work(store(n), n, Arc::clone(&accepted), Arc::clone(&stop)));
    }
    for n in 0..2 {
        let (reaper, stop) = (store(n), Arc::clone(&stop));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                reaper.reap(1_000_000).await.expect("reaped");
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
    }
    let done = async {
        for id in &documents {
            while scenario.now(*id).await.state != DocumentState::Indexed {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), done).await.expect("every document is indexed");
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }

    let accepted = accepted.lock().expect("no panic").clone();
    let page = PageRequest { size: 1000, token: None };
    let jobs = stores[0].list_jobs(scenario.tenant, &JobFilter::default(), &page).await.expect("the jobs").items;
    assert_eq!(jobs.len(), 2 * DOCUMENTS, "each stage of each document once");
    let mut cut_off = 0;
    for job in &jobs {
        let tokens = accepted.get(&job.id).map(Vec::as_slice).unwrap_or_default();
        assert_eq!((job.state, tokens.len()), (JobState::Succeeded, 1), "{job:?}: {tokens:?}");
        // The winner held the newest token: each try before it was cut off.
        assert_eq!(tokens[0], i64::from(job.interruptions) + 1, "{job:?}");
        cut_off += job.interruptions;
    }
    assert!(cut_off > 0, "nobody lost a lease: the test has tested nothing");
    for id in documents {
        let document = scenario.now(id).await;
        let chunks = stores[0].chunks_from(scenario.tenant, document.version_id, 0, 10).await.expect("chunks");
        assert_eq!(chunks.len(), 2);
    }
}

/// Every time a job became ready it was announced, and takers at once take each row once.
async fn each_announcement_is_taken_once(stores: Vec<Arc<Store>>) {
    let scenario = Scenario::new(&*stores[0]).await;
    for n in 0..DOCUMENTS {
        scenario.uploaded(&format!("{n}"), &format!("{n}")).await;
    }
    let takers: Vec<_> = (0..6)
        .map(|n: usize| {
            let store = Arc::clone(&stores[n % stores.len()]);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                let mut empty = 0;
                // Beside others a look may come back empty-handed although something is left.
                while empty < 10 {
                    let batch = store.take_announcements(3, LONG).await.expect("taken");
                    empty = if batch.is_empty() { empty + 1 } else { 0 };
                    taken.extend(batch);
                }
                let ids: Vec<_> = taken.iter().map(|row| row.id).collect();
                assert_eq!(store.mark_announced(&ids).await.expect("marked"), ids.len() as u64);
                taken
            })
        })
        .collect();
    let mut all = Vec::new();
    for taker in takers {
        all.extend(taker.await.expect("no panic"));
    }
    assert_eq!(all.len(), DOCUMENTS, "none is left, none was taken twice");
    assert_eq!(all.iter().map(|row| row.job).collect::<HashSet<_>>().len(), DOCUMENTS);
    assert_eq!(stores[0].outbox_backlog().await.expect("a look").rows, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_under_contention_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    one_wins_and_the_others_are_refused(stores(&format!("sqlite://{}/v.db", directory.path().display()), 1).await)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_under_contention_on_postgresql() {
    let Some((url, _schema)) = crate::postgres::schema().await else { return };
    one_wins_and_the_others_are_refused(stores(&url, 3).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_outbox_under_contention_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    each_announcement_is_taken_once(stores(&format!("sqlite://{}/v.db", directory.path().display()), 1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_outbox_under_contention_on_postgresql() {
    let Some((url, _schema)) = crate::postgres::schema().await else { return };
    each_announcement_is_taken_once(stores(&url, 3).await).await;
}
