//! Streams that somebody has to stop when their caller leaves.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use tokio::runtime::Handle;

use crate::connection::{Attendance, Departure};

type Leave = Box<dyn FnOnce(Departure) + Send>;

/// A stream whose caller is watched: dropped before its end, it says how they left.
struct Attended<T> {
    stream: BoxStream<'static, T>,
    attendance: Arc<Attendance>,
    leave: Option<Leave>,
}

/// Calls `leave` if the stream is dropped before it has ended.
pub(crate) fn attended<T: 'static>(
    stream: impl Stream<Item = T> + Send + 'static,
    attendance: Arc<Attendance>,
    leave: impl FnOnce(Departure) + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static {
    Attended { stream: stream.boxed(), attendance, leave: Some(Box::new(leave)) }
}

impl<T> Stream for Attended<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let polled = self.stream.poll_next_unpin(cx);
        if let Poll::Ready(None) = polled {
            self.leave = None;
        }
        polled
    }
}

impl<T> Drop for Attended<T> {
    fn drop(&mut self) {
        let Some(leave) = self.leave.take() else { return };
        let attendance = Arc::clone(&self.attendance);
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { leave(attendance.departure().await) });
            }
            // The process is ending; nobody cancelled.
            Err(_) => leave(Departure::Lost),
        }
    }
}
