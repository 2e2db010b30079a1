//! What a handler of an upload hears.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use http::{Request, Response};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tonic::{
    Code, Status, Streaming,
    body::Body,
    server::{ClientStreamingService, Grpc, NamedService},
    service::Routes,
};
use tower::Service;
use vectrion::{
    client::{Client, UploadError},
    v1::{UploadDocumentRequest, UploadDocumentResponse, UploadHeader, upload_document_request::Part},
};

use super::support::{Running, reason, settings, start_routes};

/// Tells what it hears of an upload, even when the call itself is long gone.
#[derive(Clone)]
struct Listener {
    heard: mpsc::UnboundedSender<Heard>,
    /// Refuse the upload after its first message.
    refuses: bool,
}

#[derive(Debug)]
enum Heard {
    Part(Part),
    Error,
    End,
}

impl NamedService for Listener {
    const NAME: &'static str = "vectrion.v1.IngestionService";
}

impl ClientStreamingService<UploadDocumentRequest> for Listener {
    type Response = UploadDocumentResponse;
    type Future = BoxFuture<'static, Result<tonic::Response<UploadDocumentResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<UploadDocumentRequest>>) -> Self::Future {
        let (heard, refuses) = (self.heard.clone(), self.refuses);
        let mut messages = request.into_inner();
        if refuses {
            return async move {
                messages.next().await;
                Err(Status::resource_exhausted("the document is too large"))
            }
            .boxed();
        }
        let listening = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let said = match message {
                    Ok(message) => Heard::Part(message.part.expect("a part")),
                    Err(_) => Heard::Error,
                };
                let over = matches!(said, Heard::Error);
                let _ = heard.send(said);
                if over {
                    return;
                }
            }
            let _ = heard.send(Heard::End);
        });
        async move {
            listening.await.expect("no panic");
            Ok(tonic::Response::new(UploadDocumentResponse::default()))
        }
        .boxed()
    }
}

impl Service<Request<Body>> for Listener {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let listener = self.clone();
        async move {
            let codec = tonic_prost::ProstCodec::<UploadDocumentResponse, UploadDocumentRequest>::default();
            Ok(Grpc::new(codec).client_streaming(listener, request).await)
        }
        .boxed()
    }
}

async fn listen() -> (Running, mpsc::UnboundedReceiver<Heard>) {
    let (heard, hears) = mpsc::unbounded_channel();
    (start_routes(settings(), Routes::new(Listener { heard, refuses: false }), TaskTracker::new()).await, hears)
}

fn header() -> UploadHeader {
    UploadHeader { filename: "a.txt".into(), ..Default::default() }
}

async fn next(hears: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(Duration::from_secs(5), hears.recv()).await.expect("heard in time").expect("the server runs")
}

#[tokio::test]
async fn an_upload_that_its_caller_cancels_never_looks_complete() {
    let (server, mut hears) = listen().await;
    for cut_connection in [false, true] {
        let wire = super::support::Wire::to(server.address).await;
        let client = Client::connect(&format!("http://{}", wire.address), "vk_editor").await.expect("connected");
        let (messages, rest) = mpsc::unbounded_channel();
        let send = |part| messages.send(UploadDocumentRequest { part: Some(part), request_id: String::new() }).is_ok();
        assert!(send(Part::Header(header())) && send(Part::Chunk(Bytes::from_static(b"half of it"))));
        let mut ingestion = client.ingestion();
        let upload = tokio::spawn(async move {
            let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(rest);
            ingestion.upload_document(stream).await.map(drop)
        });
        assert!(matches!(next(&mut hears).await, Heard::Part(Part::Header(_))));
        assert!(matches!(next(&mut hears).await, Heard::Part(Part::Chunk(_))));
        if cut_connection {
            wire.cut();
        } else {
            upload.abort();
        }
        let last = next(&mut hears).await;
        assert!(matches!(last, Heard::Error), "heard {last:?}");
    }
}

#[tokio::test]
async fn the_client_sends_bytes_with_their_size_and_sum() {
    let (server, mut hears) = listen().await;
    let client = server.client("editor").await;
    client.upload_bytes(header(), vec![7; 600_000]).await.expect("uploaded");
    let Heard::Part(Part::Header(header)) = next(&mut hears).await else { panic!("the header first") };
    assert_eq!((header.size_bytes, header.sha256.len()), (Some(600_000), 64));
    let mut bytes = 0;
    let sum = loop {
        match next(&mut hears).await {
            Heard::Part(Part::Chunk(chunk)) => bytes += chunk.len(),
            Heard::Part(Part::Checksum(sum)) => break sum,
            other => panic!("heard {other:?}"),
        }
    };
    assert_eq!((bytes, sum), (600_000, header.sha256));
    assert!(matches!(next(&mut hears).await, Heard::End));
}

#[tokio::test]
async fn a_reader_that_breaks_is_told_and_the_upload_does_not_look_complete() {
    let (server, mut hears) = listen().await;
    let client = server.client("editor").await;
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(Bytes::from_static(b"half of it")),
        Err(std::io::Error::other("the disk is gone")),
    ]));
    let error = client.upload_reader(header(), broken).await.expect_err("broken");
    assert!(matches!(&error, UploadError::Read(source) if source.to_string() == "the disk is gone"), "{error:?}");
    loop {
        match next(&mut hears).await {
            Heard::Part(Part::Header(_) | Part::Chunk(_)) => {}
            Heard::Error => return,
            other => panic!("heard {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_is_heard() {
    let (heard, _hears) = mpsc::unbounded_channel();
    let server = start_routes(settings(), Routes::new(Listener { heard, refuses: true }), TaskTracker::new()).await;
    let client = server.client("editor").await;
    for _ in 0..3 {
        // More than the windows hold, so that the client is still sending when the answer comes.
        let error = client.upload_bytes(header(), vec![7; 4_000_000]).await.expect_err("refused");
        let UploadError::Call(status) = error else { panic!("not {error:?}") };
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"));
    }
}
