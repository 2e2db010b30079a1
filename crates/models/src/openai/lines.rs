//! Whole lines of a body of server-sent events, within bounds.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::Stream;

use super::Break;

/// Cuts a body into lines for the event parser, which by itself would buffer without bound (a line that never ends, an
/// event that never ends, and text behind a byte that is not UTF-8 are all kept for ever), parse a line that trickles
/// in anew with each piece, and panic at a byte order mark. With one line at a time each byte is parsed once; comments,
/// and empty lines outside of an event, do not reach the parser at all.
pub(crate) struct Lines<S> {
    body: S,
    /// Bytes that came and are not cut yet.
    chunk: Bytes,
    /// A line whose end has not come.
    line: BytesMut,
    /// Bytes of the event so far.
    event_bytes: usize,
    /// Bytes of the body so far.
    total_bytes: usize,
    max_event_bytes: usize,
    max_total_bytes: usize,
    /// Whether a line came that is more than a byte order mark.
    begun: bool,
    ended: bool,
}

impl<S> Lines<S> {
    pub(crate) fn new(body: S, max_event_bytes: usize, max_total_bytes: usize) -> Self {
        Self {
            body,
            chunk: Bytes::new(),
            line: BytesMut::new(),
            event_bytes: 0,
            total_bytes: 0,
            max_event_bytes,
            max_total_bytes,
            begun: false,
            ended: false,
        }
    }

    /// The next line of use of what is there, or nothing if it has not come.
    fn cut(&mut self) -> Result<Option<Bytes>, Break> {
        while !self.chunk.is_empty() {
            let end = self.chunk.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let piece = self.chunk.split_to(end.unwrap_or(self.chunk.len()));
            if self.line.len() + piece.len() > self.max_event_bytes {
                return Err(Break::EventTooLong);
            }
            if end.is_none() {
                self.line.extend_from_slice(&piece);
                return Ok(None);
            }
            let line = if self.line.is_empty() {
                piece
            } else {
                self.line.extend_from_slice(&piece);
                self.line.split().freeze()
            };
            if let Some(line) = self.sift(line)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The line if it is of use.
    fn sift(&mut self, mut line: Bytes) -> Result<Option<Bytes>, Break> {
        while !self.begun && line.starts_with(b"\xef\xbb\xbf") {
            drop(line.split_to(3));
        }
        self.begun = true;
        if std::str::from_utf8(&line).is_err() {
            return Err(Break::NotUtf8);
        }
        match &line[..] {
            [b':', ..] => return Ok(None),
            b"\n" | b"\r\n" if self.event_bytes == 0 => return Ok(None),
            b"\n" | b"\r\n" => self.event_bytes = 0,
            other => self.event_bytes += other.len(),
        }
        if self.event_bytes > self.max_event_bytes { Err(Break::EventTooLong) } else { Ok(Some(line)) }
    }

    /// Ends the last line and its event: some servers end with `data: [DONE]` and no empty line.
    fn last(&mut self) -> Result<Option<Bytes>, Break> {
        if self.line.is_empty() && self.event_bytes == 0 {
            return Ok(None);
        }
        self.line.extend_from_slice(b"\n\n");
        let line = self.line.split().freeze();
        self.sift(line)
    }
}

impl<S: Stream<Item = Result<Bytes, reqwest::Error>> + Unpin> Stream for Lines<S> {
    type Item = Result<Bytes, Break>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(line) = this.cut().transpose() {
                this.ended = line.is_err();
                return Poll::Ready(Some(line));
            }
            match Pin::new(&mut this.body).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => {
                    this.total_bytes += chunk.len();
                    if this.total_bytes > this.max_total_bytes {
                        this.ended = true;
                        return Poll::Ready(Some(Err(Break::ResponseTooLong)));
                    }
                    this.chunk = chunk;
                }
                Poll::Ready(Some(Err(error))) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(Break::Transport(error.without_url()))));
                }
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(this.last().transpose());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::EventStream;
    use futures::{StreamExt as _, stream};

    use super::*;

    type Item = Result<Bytes, reqwest::Error>;

    fn lines(
        chunks: &[&'static [u8]],
        max_event: usize,
        max_total: usize,
    ) -> Lines<impl Stream<Item = Item> + Unpin + use<>> {
        let chunks: Vec<Item> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        Lines::new(stream::iter(chunks), max_event, max_total)
    }

    async fn events(chunks: &[&'static [u8]]) -> Vec<String> {
        EventStream::new(lines(chunks, 1_000, 10_000)).map(|event| event.unwrap().data).collect().await
    }

    async fn first_break(mut lines: Lines<impl Stream<Item = Item> + Unpin>) -> Option<Break> {
        while let Some(line) = lines.next().await {
            if let Err(reason) = line {
                assert!(lines.next().await.is_none(), "a broken body has no more lines");
                return Some(reason);
            }
        }
        None
    }

    #[tokio::test]
    async fn events_arrive_however_the_bytes_are_cut() {
        let body: &'static [u8] = ": hello\r\n\r\ndata: ünï\r\ndata:two\r\n\r\nid: 1\ndata: {}\n\n".as_bytes();
        for size in 1..body.len() {
            let chunks: Vec<&'static [u8]> = body.chunks(size).collect();
            assert_eq!(events(&chunks).await, ["ünï\ntwo", "{}"], "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_last_event_without_its_empty_line_counts() {
        assert_eq!(events(&[b"data: a\n\ndata: [DONE]"]).await, ["a", "[DONE]"]);
        assert_eq!(events(&[b"data: a\n\ndata: [DONE]\n"]).await, ["a", "[DONE]"]);
    }

    #[tokio::test]
    async fn bounds_hold_for_lines_events_and_the_body() {
        let endless_line = lines(&[b"data: ", b"aaaa", b"aaaa", b"aaaa"], 16, 1_000);
        assert!(matches!(first_break(endless_line).await, Some(Break::EventTooLong)));
        let endless_event = lines(&[b"data: a\n", b"data: b\n", b"data: c\n"], 16, 1_000);
        assert!(matches!(first_break(endless_event).await, Some(Break::EventTooLong)));
        let with_crlf = lines(&[b"data: a\r\n", b"data: b\r\n", b"data: c\r\n"], 20, 1_000);
        assert!(matches!(first_break(with_crlf).await, Some(Break::EventTooLong)));
        let endless_body = lines(&[b": keep alive\n".as_slice(); 100], 16, 1_000);
        assert!(matches!(first_break(endless_body).await, Some(Break::ResponseTooLong)));
        assert!(first_break(lines(&[b": keep alive\n".as_slice(); 10], 16, 1_000)).await.is_none());
    }

    #[tokio::test]
    async fn byte_order_marks_and_floods_of_nothing_are_passed_over() {
        let marks = "\u{feff}\u{feff}data: a\n\n".as_bytes();
        assert_eq!(events(&[marks]).await, ["a"]);
        assert_eq!(events(&[&marks[..2], &marks[2..7], &marks[7..]]).await, ["a"]);
        assert!(events(&["\u{feff}".as_bytes()]).await.is_empty());
        let mut idle = lines(&[b"\n\n\r\n: ping\n\n\n"], 16, 1_000);
        assert!(idle.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_not_utf8_breaks_the_stream() {
        assert!(matches!(first_break(lines(&[b"data: \xff\xfe\n\n"], 100, 100)).await, Some(Break::NotUtf8)));
    }
}
