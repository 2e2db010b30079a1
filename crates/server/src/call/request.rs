//! The body of an upload: its end is an end, and a cancelled call is not.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, body::Body};

/// A body whose caller may go away in the middle of it.
///
/// tonic shows a handler the reset of its request stream as the plain end of it, so half a file would look like a whole
/// one. Under another code it comes through as the error that it is.
pub(super) struct Uploaded(pub(super) Body);

impl HttpBody for Uploaded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.get_mut().0).poll_frame(cx);
        polled.map_err(|status| match status.code() {
            Code::Cancelled => Status::aborted("the caller cancelled the call"),
            _ => status,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
