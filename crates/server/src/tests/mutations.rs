//! A mutation ends, and its outcome is kept, whatever becomes of its caller.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, async_trait, service::Routes};
use uuid::Uuid;
use vectrion::v1::{
    self,
    query_service_server::{QueryService, QueryServiceServer},
};
use vectrion_core::{
    Error, Result,
    ids::TenantId,
    ports::{Idempotency, idempotency::Claimed},
};

use super::support::{Running, reason, settings, start_routes};
use crate::services::{Mutations, Responses};

/// Outcomes in memory.
#[derive(Default)]
struct Known(Mutex<HashMap<Uuid, Option<Vec<u8>>>>);

#[async_trait]
impl Idempotency for Known {
    async fn claim_request(&self, _: TenantId, request: Uuid, _: &str, _: [u8; 32], _: i64) -> Result<Claimed> {
        let mut known = self.0.lock().expect("not poisoned");
        Ok(match known.get(&request) {
            Some(Some(outcome)) => Claimed::Replay(outcome.clone()),
            Some(None) => Claimed::InProgress,
            None => {
                known.insert(request, None);
                Claimed::New { token: 1 }
            }
        })
    }

    async fn renew_request(&self, _: TenantId, _: Uuid, _: i64, _: i64) -> Result<bool> {
        Ok(true)
    }

    async fn settle_request(&self, _: TenantId, request: Uuid, _: i64, outcome: Vec<u8>) -> Result<bool> {
        self.0.lock().expect("not poisoned").insert(request, Some(outcome));
        Ok(true)
    }

    async fn forget_request(&self, _: TenantId, request: Uuid, _: i64) -> Result<()> {
        self.0.lock().expect("not poisoned").remove(&request);
        Ok(())
    }

    async fn purge_requests(&self, _: i64) -> Result<u64> {
        Ok(0)
    }
}

/// What the work waits for, and how often it was done.
struct Work {
    gate: Semaphore,
    begun: AtomicU32,
    done: AtomicU32,
}

/// One mutation, which waits until it is let go on.
struct Slow {
    work: Arc<Work>,
    mutations: Mutations,
}

#[async_trait]
impl QueryService for Slow {
    type AnswerStream = Responses<v1::AnswerResponse>;
    type ResumeAnswerStream = Responses<v1::ResumeAnswerResponse>;

    async fn cancel_answer(
        &self,
        request: Request<v1::CancelAnswerRequest>,
    ) -> Result<Response<v1::CancelAnswerResponse>, Status> {
        self.mutations
            .run(&self.work, request, |work, _, message| async move {
                work.begun.fetch_add(1, Ordering::SeqCst);
                work.gate.acquire().await.expect("open").forget();
                assert_ne!(message.answer_id, "panic", "a scripted panic");
                if message.answer_id == "missing" {
                    return Err(Error::not_found("ANSWER_NOT_FOUND", "there is no such answer"));
                }
                work.done.fetch_add(1, Ordering::SeqCst);
                Ok(v1::CancelAnswerResponse {})
            })
            .await
    }

    async fn retrieve(&self, _: Request<v1::RetrieveRequest>) -> Result<Response<v1::RetrieveResponse>, Status> {
        Ok(Response::new(v1::RetrieveResponse::default()))
    }

    async fn answer(&self, _: Request<v1::AnswerRequest>) -> Result<Response<Self::AnswerStream>, Status> {
        Ok(Response::new(futures::stream::empty().boxed()))
    }

    async fn resume_answer(
        &self,
        _: Request<v1::ResumeAnswerRequest>,
    ) -> Result<Response<Self::ResumeAnswerStream>, Status> {
        Ok(Response::new(futures::stream::empty().boxed()))
    }

    async fn get_answer(&self, _: Request<v1::GetAnswerRequest>) -> Result<Response<v1::GetAnswerResponse>, Status> {
        Ok(Response::new(v1::GetAnswerResponse::default()))
    }
}

async fn start() -> (Running, Arc<Work>) {
    let work = Arc::new(Work { gate: Semaphore::new(0), begun: AtomicU32::new(0), done: AtomicU32::new(0) });
    let tasks = TaskTracker::new();
    let mutations = Mutations::new(Arc::new(Known::default()), tasks.clone());
    let slow = Slow { work: Arc::clone(&work), mutations };
    (start_routes(settings(), Routes::new(QueryServiceServer::new(slow)), tasks).await, work)
}

fn cancel(answer: &str, id: Uuid, timeout: Duration) -> Request<v1::CancelAnswerRequest> {
    let mut request = Request::new(v1::CancelAnswerRequest { answer_id: answer.into(), request_id: id.to_string() });
    request.set_timeout(timeout);
    request
}

const LONG: Duration = Duration::from_secs(20);

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be");
}

#[tokio::test]
async fn what_its_deadline_cut_off_is_finished_and_replayed() {
    let (server, work) = start().await;
    let client = server.client("user").await;
    for (answer, code) in [("there", Code::Ok), ("missing", Code::NotFound)] {
        let id = Uuid::new_v4();
        let (begun, done) = (work.begun.load(Ordering::SeqCst), work.done.load(Ordering::SeqCst));
        let late = client.query().cancel_answer(cancel(answer, id, Duration::from_millis(400))).await;
        assert_eq!(late.expect_err("out of time").code(), Code::DeadlineExceeded);
        let again = client.query().cancel_answer(cancel(answer, id, LONG)).await.expect_err("under way");
        assert_eq!((again.code(), reason(&again).as_str()), (Code::Aborted, "REQUEST_IN_PROGRESS"));
        work.gate.add_permits(1);
        let outcome = loop {
            match client.query().cancel_answer(cancel(answer, id, LONG)).await {
                Err(status) if status.code() == Code::Aborted => tokio::time::sleep(Duration::from_millis(10)).await,
                other => break other.map_or_else(|status| status.code(), |_| Code::Ok),
            }
        };
        assert_eq!(outcome, code);
        assert_eq!(work.begun.load(Ordering::SeqCst), begun + 1, "made once");
        assert_eq!(work.done.load(Ordering::SeqCst), done + u32::from(code == Code::Ok));
    }
}

#[tokio::test]
async fn what_its_caller_left_is_finished_and_replayed() {
    let (server, work) = start().await;
    let (client, id) = (server.client("user").await, Uuid::new_v4());
    let mut query = client.query();
    let left = tokio::spawn(async move { query.cancel_answer(cancel("there", id, LONG)).await });
    until(|| work.begun.load(Ordering::SeqCst) == 1).await;
    left.abort();
    assert!(left.await.expect_err("aborted").is_cancelled());
    tokio::time::sleep(Duration::from_millis(100)).await;
    work.gate.add_permits(1);
    until(|| work.done.load(Ordering::SeqCst) == 1).await;
    client.query().cancel_answer(cancel("there", id, LONG)).await.expect("replayed");
    assert_eq!(work.begun.load(Ordering::SeqCst), 1, "made once");
}

#[tokio::test]
async fn a_mutation_that_panics_is_told_as_any_other_call_and_leaves_its_id_free() {
    let (server, work) = start().await;
    let (client, id) = (server.client("user").await, Uuid::new_v4());
    work.gate.add_permits(3);
    for _ in 0..2 {
        let status = client.query().cancel_answer(cancel("panic", id, LONG)).await.expect_err("it panics");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "PANIC"));
    }
    client.query().cancel_answer(cancel("there", id, LONG)).await.expect("the id is free");
}

#[tokio::test]
async fn the_server_does_not_end_before_the_mutations_do() {
    let (server, work) = start().await;
    let client = server.client("user").await;
    let late = client.query().cancel_answer(cancel("there", Uuid::new_v4(), Duration::from_millis(300))).await;
    late.expect_err("out of time");
    drop(client);
    let (gate, shutdown) = (Arc::clone(&work), server.shutdown.clone());
    shutdown.cancel();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        gate.gate.add_permits(1);
    });
    server.stop().await;
    assert_eq!(work.done.load(Ordering::SeqCst), 1);
}
