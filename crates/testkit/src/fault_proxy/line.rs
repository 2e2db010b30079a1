//! The line on which connections run: slow, narrow, stalled, closed, or cut.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;
/// Pieces a second in which a narrow line passes bytes on.
const PIECES_PER_SECOND: u64 = 20;

/// What the line between client and server is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Time that each piece takes longer, either way.
    pub latency: Duration,
    /// Bytes a second that a connection passes each way.
    pub bytes_per_second: Option<u64>,
    /// Nothing passes. Connections stay open, new ones are taken, and what was sent arrives when this is over.
    pub stalled: bool,
    /// New connections are closed as soon as they are made.
    pub closed: bool,
}

/// How connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both sides are told.
    End,
    /// Both sides are told by a reset, and what was under way is lost.
    Reset,
    /// The server is told. The client is not: what it sends is taken and dropped, and nothing ever answers.
    HalfOpen,
}

/// The line of a proxy, and what is counted on it.
#[derive(Debug)]
pub(super) struct Lines {
    line: watch::Sender<Line>,
    cuts: watch::Sender<Cut>,
    open: AtomicUsize,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            line: watch::Sender::default(),
            cuts: watch::Sender::new(Cut::End),
            open: AtomicUsize::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
        }
    }
}

impl Lines {
    pub(super) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    pub(super) fn cut(&self, cut: Cut) {
        self.cuts.send_replace(cut);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.line.borrow().closed
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn passed(&self) -> (u64, u64) {
        (self.to_server.load(Ordering::SeqCst), self.to_client.load(Ordering::SeqCst))
    }
}

/// What is wrong with one direction of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passage {
    /// The byte that is changed.
    pub(super) flip: Option<usize>,
    /// The number of bytes after which the connection ends.
    pub(super) cut: Option<usize>,
}

/// Passes bytes both ways until the server's side ends, or the connection is cut.
pub(super) async fn connect(
    mut client: TcpStream,
    mut upstream: TcpStream,
    to_server: Passage,
    to_client: Passage,
    lines: &Lines,
) {
    let _open = Open::count(&lines.open);
    let mut cuts = lines.cuts.subscribe();
    let cut = {
        let (from_client, into_client) = client.split();
        let (from_server, into_server) = upstream.split();
        // When the server's side ends, so does the connection; the client's side may end before.
        tokio::select! {
            () = async {
                pass(from_client, into_server, to_server, lines.line.subscribe(), &lines.to_server).await;
                std::future::pending().await
            } => None,
            () = pass(from_server, into_client, to_client, lines.line.subscribe(), &lines.to_client) => None,
            changed = cuts.changed() => changed.is_ok().then(|| *cuts.borrow_and_update()),
        }
    };
    match cut {
        None | Some(Cut::End) => {}
        Some(Cut::Reset) => {
            // The system then answers the close of either by a reset.
            let _ = client.set_zero_linger();
            let _ = upstream.set_zero_linger();
        }
        Some(Cut::HalfOpen) => {
            drop(upstream);
            let mut dropped = vec![0; PIECE];
            while let Ok(1..) = client.read(&mut dropped).await {}
        }
    }
}

struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn count(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Copies until either end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passage: Passage,
    mut line: watch::Receiver<Line>,
    counted: &AtomicU64,
) {
    let mut buffer = vec![0; PIECE];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(at) = passage.flip.and_then(|at| at.checked_sub(passed))
            && at < read
        {
            buffer[at] ^= 1;
        }
        let end = passage.cut.map_or(read, |cut| read.min(cut - passed));
        let mut sent = 0;
        while sent < end {
            let Ok(now) = line.wait_for(|line| !line.stalled).await.map(|line| *line) else { return };
            tokio::time::sleep(now.latency).await;
            let next = match now.bytes_per_second {
                None => end,
                Some(rate) => {
                    tokio::time::sleep(Duration::from_secs(1) / u32::try_from(PIECES_PER_SECOND).unwrap_or(1)).await;
                    let piece = usize::try_from((rate / PIECES_PER_SECOND).max(1)).unwrap_or(usize::MAX);
                    end.min(sent.saturating_add(piece))
                }
            };
            if to.write_all(&buffer[sent..next]).await.is_err() {
                return;
            }
            counted.fetch_add(u64::try_from(next - sent).unwrap_or(0), Ordering::SeqCst);
            sent = next;
        }
        passed += end;
        if passage.cut == Some(passed) {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::Instant};

    use tokio::{net::TcpListener, time::timeout};

    use super::*;
    use crate::fault_proxy::FaultProxy;

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(300);

    /// A server that sends back what it gets, and a proxy in front of it.
    async fn echo() -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        FaultProxy::start(&address).await
    }

    async fn connected(proxy: &FaultProxy) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(said(&mut stream, b"hello").await, b"hello");
        stream
    }

    async fn said(stream: &mut TcpStream, words: &[u8]) -> Vec<u8> {
        stream.write_all(words).await.unwrap();
        let mut answer = vec![0; words.len()];
        timeout(SOON, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
        answer
    }

    #[tokio::test]
    async fn a_whole_line_passes_everything_and_counts_it() {
        let proxy = echo().await;
        let mut stream = connected(&proxy).await;
        let much: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (mut from, mut to) = stream.split();
        let mut back = vec![0; much.len()];
        let (written, read) = tokio::join!(to.write_all(&much), from.read_exact(&mut back));
        written.unwrap();
        read.unwrap();
        assert_eq!(back, much);
        assert_eq!((proxy.connections(), proxy.passed()), (1, (200_005, 200_005)));
        drop(stream);
        let gone = async {
            while proxy.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, gone).await.expect("the connection is over");
    }

    #[tokio::test]
    async fn what_was_sent_into_a_stall_arrives_when_it_is_over() {
        let proxy = echo().await;
        let mut open = connected(&proxy).await;
        proxy.set(Line { stalled: true, ..Line::default() });
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        for stream in [&mut open, &mut new] {
            stream.write_all(b"later").await.unwrap();
            let mut answer = [0; 5];
            timeout(A_WHILE, stream.read_exact(&mut answer)).await.expect_err("nothing passes");
        }
        proxy.heal();
        for stream in [&mut open, &mut new] {
            let mut answer = [0; 5];
            timeout(SOON, stream.read_exact(&mut answer)).await.expect("it passes").unwrap();
            assert_eq!(&answer, b"later");
        }
    }

    #[tokio::test]
    async fn latency_and_width_take_the_time_that_they_say_at_least() {
        let proxy = echo().await;
        let mut stream = connected(&proxy).await;
        proxy.set(Line { latency: Duration::from_millis(100), ..Line::default() });
        let start = Instant::now();
        assert_eq!(said(&mut stream, b"slow").await, b"slow");
        assert!(start.elapsed() >= Duration::from_millis(200), "each way: {:?}", start.elapsed());

        proxy.set(Line { bytes_per_second: Some(10_000), ..Line::default() });
        let start = Instant::now();
        assert_eq!(said(&mut stream, &[7; 5000]).await, [7; 5000]);
        assert!(start.elapsed() >= Duration::from_millis(500), "each way: {:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_closed_line_takes_no_new_connection_and_keeps_the_open_ones() {
        let proxy = echo().await;
        let mut open = connected(&proxy).await;
        proxy.set(Line { closed: true, ..Line::default() });
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(timeout(SOON, new.read(&mut [0; 1])).await.expect("an end").unwrap_or(0), 0);
        assert_eq!(said(&mut open, b"still").await, b"still");
        proxy.heal();
        connected(&proxy).await;
    }

    #[tokio::test]
    async fn each_cut_ends_open_connections_in_its_own_way_and_no_later_ones() {
        let proxy = echo().await;
        let mut stream = connected(&proxy).await;
        proxy.cut(Cut::End);
        assert_eq!(timeout(SOON, stream.read(&mut [0; 1])).await.expect("an end").unwrap(), 0);

        let mut stream = connected(&proxy).await;
        proxy.cut(Cut::Reset);
        let error = timeout(SOON, stream.read(&mut [0; 1])).await.expect("an end").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let mut stream = connected(&proxy).await;
        proxy.cut(Cut::HalfOpen);
        for _ in 0..3 {
            stream.write_all(b"anybody?").await.expect("nobody says that it is over");
            timeout(A_WHILE / 3, stream.read(&mut [0; 1])).await.expect_err("nothing comes");
        }
        connected(&proxy).await;
    }
}
