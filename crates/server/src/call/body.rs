//! The body of a response: sees how the call ends, and ends it when it must.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tonic::{Code, Status, body::Body};
use tracing::Span;
use vectrion_core::{Error, ErrorKind};

use super::record::Record;
use crate::{connection::Attendance, status};

/// A future that says when and how a stream must end.
pub(super) type End = BoxFuture<'static, Error>;

/// The body of a response, watched over.
pub(super) struct CallBody {
    watched: Arc<Watched>,
    span: Span,
}

struct Watched {
    state: Mutex<State>,
    attendance: Arc<Attendance>,
    trace_id: String,
}

struct State {
    /// None when it has ended.
    body: Option<Body>,
    /// The code in the headers of a response that has no body.
    early: Option<Code>,
    end: Option<End>,
    /// What the caller is told when it reads again after the stream was cut.
    cut: Option<Status>,
    /// Since when the caller has not fetched the next piece; none while it waits for one.
    unread_since: Option<Instant>,
    record: Record,
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl CallBody {
    /// `end`: ends the stream early; none for a response of one message.
    pub(super) fn new(
        headers: &HeaderMap,
        body: Body,
        record: Record,
        end: Option<End>,
        permit: Option<Arc<OwnedSemaphorePermit>>,
        attendance: Arc<Attendance>,
        trace_id: String,
    ) -> Self {
        let early = status::code_in(headers);
        let state = State { body: Some(body), early, end, cut: None, unread_since: None, record, permit };
        Self { watched: Arc::new(Watched { state: Mutex::new(state), attendance, trace_id }), span: Span::current() }
    }

    /// Cuts the stream when its caller does not read for `idle`. The transport asks for the next piece only when there
    /// is room for it, so a stream that nobody reads would otherwise keep what it holds for as long as it likes.
    pub(super) fn cut_when_unread(&self, idle: Duration) {
        let watched = Arc::downgrade(&self.watched);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(idle / 4).await;
                if !look(&watched, idle) {
                    return;
                }
            }
        });
    }
}

/// Looks whether the stream is read; false when there is nothing more to look for.
fn look(watched: &Weak<Watched>, idle: Duration) -> bool {
    let Some(watched) = watched.upgrade() else { return false };
    let abandoned = {
        let mut state = watched.lock();
        if state.body.is_none() {
            return false;
        }
        if state.unread_since.is_none_or(|since| since.elapsed() < idle) {
            return true;
        }
        let error = Error::new(
            ErrorKind::DeadlineExceeded,
            "STREAM_STALLED",
            format!("the stream was not read for {} s and was ended", idle.as_secs()),
        );
        state.cut = Some(state.finish(&error, &watched.trace_id));
        state.body.take()
    };
    // Before the drop, which asks why.
    watched.attendance.stalled();
    drop(abandoned);
    false
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The call ends with this error: the record is written, the place is free.
    fn finish(&mut self, error: &Error, trace_id: &str) -> Status {
        let status = status::of(error, trace_id);
        self.ended(status.code());
        status
    }

    fn ended(&mut self, code: Code) {
        self.record.end(code);
        self.end = None;
        self.permit = None;
    }
}

fn trailers(status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
    let mut headers = HeaderMap::new();
    Poll::Ready(Some(status.add_header(&mut headers).map(|()| Frame::trailers(headers))))
}

/// The error of a handler that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal("PANIC", format!("a handler panicked: {}", text.unwrap_or("without a message")))
}

impl HttpBody for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let mut state = this.watched.lock();
        let trace_id = &this.watched.trace_id;
        state.unread_since = None;
        if let Some(status) = state.cut.take() {
            return trailers(&status);
        }
        let Some(body) = state.body.as_mut() else { return Poll::Ready(None) };

        match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
            Ok(Poll::Ready(Some(Ok(mut frame)))) => {
                if let Some(headers) = frame.trailers_mut() {
                    status::complete(headers, trace_id);
                    let code = status::code_in(headers).unwrap_or(Code::Unknown);
                    state.ended(code);
                } else {
                    state.unread_since = Some(Instant::now());
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Ok(Poll::Ready(Some(Err(status)))) => {
                state.ended(status.code());
                state.body = None;
                return Poll::Ready(Some(Err(status)));
            }
            Ok(Poll::Ready(None)) => {
                let code = state.early.unwrap_or(Code::Unknown);
                state.ended(code);
                state.body = None;
                return Poll::Ready(None);
            }
            Err(panic) => {
                let status = state.finish(&panicked(panic.as_ref()), trace_id);
                state.body = None;
                return trailers(&status);
            }
            Ok(Poll::Pending) => {}
        }
        match state.end.as_mut().map(|end| end.as_mut().poll(cx)) {
            Some(Poll::Ready(error)) => {
                let status = state.finish(&error, trace_id);
                state.body = None;
                trailers(&status)
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.watched.lock();
        state.cut.is_none() && state.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.watched.lock().body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for CallBody {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let mut state = self.watched.lock();
        // A response without a body is never polled.
        let code = state.early.unwrap_or(Code::Cancelled);
        state.ended(code);
    }
}
