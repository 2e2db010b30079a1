//! A TCP proxy that breaks what passes through it.

mod line;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use self::line::{Cut, Line};
use self::line::{Lines, Passage};

/// What happens to one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is closed as soon as it is made.
    Refuse,
    /// It is taken, and nothing is ever read from it or written to it.
    Silence,
    /// It ends after so many bytes from the server.
    CutResponse(usize),
    /// The byte at this place of what goes to the server is changed.
    FlipRequest(usize),
    /// The byte at this place of what comes from the server is changed.
    FlipResponse(usize),
    /// The first HTTP request on it gets this answer, and never comes to the server.
    Answer(String),
}

/// Passes connections on to a server. Each has the next of the faults that were ordered, or none, and all of them, those
/// that are open too, share a [`Line`].
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    lines: Arc<Lines>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy in front of `HOST:PORT`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let lines = Arc::new(Lines::default());
        let accepting = tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&faults), Arc::clone(&lines)));
        Self { address, faults, lines, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Orders a fault for so many of the next connections.
    pub fn order(&self, fault: &Fault, connections: usize) {
        lock(&self.faults).extend(std::iter::repeat_n(fault, connections).cloned());
    }

    /// Faults that are ordered and did not happen yet.
    #[must_use]
    pub fn ordered(&self) -> usize {
        lock(&self.faults).len()
    }

    /// Changes the line, for the connections that are open and those to come.
    pub fn set(&self, line: Line) {
        self.lines.set(line);
    }

    /// Ends the connections that are open now.
    pub fn cut(&self, cut: Cut) {
        self.lines.cut(cut);
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lines.open()
    }

    /// Bytes that have passed so far, to the server and from it.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        self.lines.passed()
    }

    /// Forgets what was ordered, and makes the line whole.
    pub fn heal(&self) {
        lock(&self.faults).clear();
        self.lines.set(Line::default());
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(faults: &Mutex<VecDeque<Fault>>) -> MutexGuard<'_, VecDeque<Fault>> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, server: String, faults: Arc<Mutex<VecDeque<Fault>>>, lines: Arc<Lines>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let fault = if lines.is_closed() { Some(Fault::Refuse) } else { lock(&faults).pop_front() };
        connections.spawn(serve(client, server.clone(), fault, Arc::clone(&lines)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, server: String, fault: Option<Fault>, lines: Arc<Lines>) {
    match &fault {
        Some(Fault::Refuse) => return,
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Answer(answer)) => {
            let _ = answer_request(&mut client, answer).await;
            return;
        }
        _ => {}
    }
    let Ok(upstream) = TcpStream::connect(&server).await else { return };
    let (mut to_server, mut to_client) = (Passage::default(), Passage::default());
    match fault {
        Some(Fault::FlipRequest(at)) => to_server.flip = Some(at),
        Some(Fault::FlipResponse(at)) => to_client.flip = Some(at),
        Some(Fault::CutResponse(after)) => to_client.cut = Some(after),
        _ => {}
    }
    line::connect(client, upstream, to_server, to_client, &lines).await;
}

/// Reads a request whole, so that its sender comes to read the answer.
async fn answer_request(client: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    let mut got = request.len() - end;
    while got < length {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            read => got += read,
        }
    }
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}
