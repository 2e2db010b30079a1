//! A TCP proxy that breaks what passes through it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What happens to a connection.
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

/// Passes connections on to a server, each with the next of the faults that were ordered, or none.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
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
        let accepting = tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&faults)));
        Self { address, faults, accepting }
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

    /// Forgets what was ordered.
    pub fn heal(&self) {
        lock(&self.faults).clear();
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

async fn accept(listener: TcpListener, server: String, faults: Arc<Mutex<VecDeque<Fault>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let fault = lock(&faults).pop_front();
        connections.spawn(serve(client, server.clone(), fault));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, server: String, fault: Option<Fault>) {
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
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let (mut flip_request, mut flip_response, mut cut) = (None, None, None);
    match fault {
        Some(Fault::FlipRequest(at)) => flip_request = Some(at),
        Some(Fault::FlipResponse(at)) => flip_response = Some(at),
        Some(Fault::CutResponse(after)) => cut = Some(after),
        _ => {}
    }
    // When the server's side ends, so does the connection; the client's side may end before.
    tokio::select! {
        () = async {
            pass(from_client, to_server, flip_request, None).await;
            std::future::pending().await
        } => {}
        () = pass(from_server, to_client, flip_response, cut) => {}
    }
}

/// Copies until either end, or so many bytes; the byte at `flip` is changed.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    flip: Option<usize>,
    cut: Option<usize>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(at) = flip.and_then(|at| at.checked_sub(passed))
            && at < read
        {
            buffer[at] ^= 1;
        }
        let end = cut.map_or(read, |cut| read.min(cut - passed));
        if to.write_all(&buffer[..end]).await.is_err() {
            return;
        }
        passed += end;
        if cut == Some(passed) {
            return;
        }
    }
    let _ = to.shutdown().await;
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
