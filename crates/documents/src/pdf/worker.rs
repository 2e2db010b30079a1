//! The parent's end of one child.

use std::{fs::File, io, io::IoSlice, os::fd::AsRawFd as _, process::ExitStatus};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::{
    io::{AsyncReadExt as _, Interest},
    net::UnixStream,
    process::Child,
};
use vectrion_core::{Error, Result, extraction::Extracted, ports::documents::ParseProgress};

use super::{
    error,
    protocol::{self, Confinement, Failure, HEADER, MAX_REQUEST, Reply, Request},
    settings::PdfSettings,
    spawner::Spawned,
};

/// A child that is ready. Dropping it kills the child.
pub(super) struct Worker {
    child: Child,
    stream: UnixStream,
    body: Vec<u8>,
    pub(super) confinement: Confinement,
    pub(super) documents: u32,
    pub(super) peak_bytes: u64,
}

/// How reading a document ended while the child lived.
pub(super) enum Outcome {
    Read(Box<Extracted>),
    Failed(Failure),
}

impl Worker {
    /// Waits until the child has loaded pdfium and confined itself.
    pub(super) async fn greet(spawned: Spawned) -> io::Result<Self> {
        const GREETING: usize = 4096;
        let Spawned { child, stream } = spawned;
        let mut worker =
            Self { child, stream, body: Vec::new(), confinement: Confinement::default(), documents: 0, peak_bytes: 0 };
        match worker.receive(GREETING).await {
            Ok(Some(Reply::Ready(confinement))) => {
                worker.confinement = confinement;
                Ok(worker)
            }
            Ok(Some(Reply::NotReady(why))) => Err(io::Error::other(why)),
            Ok(_) => {
                Err(io::Error::other("it does not answer as it should; program and server are of different builds"))
            }
            Err(error) => {
                let status = worker.ended().await;
                Err(match status {
                    Ok(status) => io::Error::other(format!("it ended at once ({status})")),
                    Err(_) => error,
                })
            }
        }
    }

    /// Lets the child end, which it does when its socket closes, and waits for it.
    pub(super) async fn end(self) {
        const GRACE: std::time::Duration = std::time::Duration::from_secs(2);
        let Self { mut child, stream, .. } = self;
        drop(stream);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            // Fails only if it has ended meanwhile.
            let _ = child.kill().await;
        }
    }

    /// Whether the child is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Has the child read a document.
    pub(super) async fn read(
        &mut self,
        file: &File,
        settings: &PdfSettings,
        progress: ParseProgress<'_>,
    ) -> Result<Outcome> {
        self.documents += 1;
        let request = Request {
            // The wall clock stops a document first, unless the child does nothing but compute.
            cpu_seconds: settings.timeout.as_secs() + 1,
            max_pages: settings.max_pages,
            max_characters: settings.max_characters,
            max_pixels: settings.max_pixels,
            max_response_bytes: settings.max_response_bytes as u64,
            find_hidden_text: settings.find_hidden_text,
        };
        if let Err(error) = self.send(&request, file).await {
            return Err(self.died(settings, error).await);
        }
        loop {
            match self.receive(settings.max_response_bytes).await {
                Ok(Some(Reply::Progress(done, total))) => progress(done.min(total), total),
                Ok(Some(Reply::Done(extracted, peak_bytes))) => {
                    self.peak_bytes = peak_bytes;
                    return Ok(Outcome::Read(extracted));
                }
                Ok(Some(Reply::Failed(failure))) => return Ok(Outcome::Failed(failure)),
                Ok(Some(Reply::Ready(_) | Reply::NotReady(_)) | None) => return Err(error::bad_answer()),
                Err(error) => return Err(self.died(settings, error).await),
            }
        }
    }

    async fn send(&self, request: &Request, file: &File) -> io::Result<()> {
        let bytes = protocol::encode(request, MAX_REQUEST as u64 - HEADER as u64)
            .ok_or_else(|| io::Error::other("the request is too long"))?;
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let files = [file.as_raw_fd()];
                let rights = [ControlMessage::ScmRights(&files)];
                let parts = [IoSlice::new(&bytes)];
                sendmsg::<()>(self.stream.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)
                    .map_err(Into::into)
            })
            .await?;
        // A request is far smaller than a socket's buffer, which is empty between documents.
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message; none if it is longer than it may be, or makes no sense.
    async fn receive(&mut self, max: usize) -> io::Result<Option<Reply>> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await?;
        let len = u32::from_le_bytes(header);
        if len as usize > max {
            return Ok(None);
        }
        self.body.clear();
        // Grows with what arrives, not with what is promised.
        (&mut self.stream).take(u64::from(len)).read_to_end(&mut self.body).await?;
        if self.body.len() < len as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let reply = protocol::decode(&self.body);
        if self.body.capacity() > 4 << 20 {
            self.body = Vec::new();
        }
        Ok(reply)
    }

    /// The error for a child that stopped talking: what its end says, or that it is gone.
    async fn died(&mut self, settings: &PdfSettings, error: io::Error) -> Error {
        match self.ended().await {
            Ok(status) => error::from_exit(status, settings.memory_bytes, settings.timeout),
            Err(_) => error::bad_answer(),
        }
        .with_source(error)
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        // A child that closed the socket but lives on is of no use.
        match tokio::time::timeout(std::time::Duration::from_millis(500), self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.child.start_kill()?;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}
