//! The child: `vectrion-extract`. It is started by [`PdfExtractor`](super::PdfExtractor) with a socket as standard input,
//! and reads one document after another until the socket closes.

mod confine;
mod document;
mod glyphs;
mod hidden;
mod os;
mod pdfium;

use std::{
    io::{self, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

use super::protocol::{self, HEADER, Reply, Request};
use document::read_document;
use pdfium::Pdfium;

/// What the parent tells on the command line.
struct Arguments {
    parent: i32,
    pdfium: PathBuf,
    memory_bytes: u64,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut parent, mut pdfium, mut memory_bytes) = (None, None, None);
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--parent" => parent = value.parse().ok(),
                "--pdfium" => pdfium = Some(PathBuf::from(value)),
                "--memory" => memory_bytes = value.parse().ok(),
                _ => return None,
            }
        }
        Some(Self { parent: parent?, pdfium: pdfium?, memory_bytes: memory_bytes? })
    }
}

/// Reads documents for the parent until it is gone.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let (Some(arguments), Some(channel)) = (Arguments::parse(arguments), os::channel()) else {
        eprintln!("vectrion-extract is started by vectrion, to read PDF files apart from it; it is of no use by hand");
        return ExitCode::from(2);
    };
    match start(&arguments).map(|(pdfium, confinement)| (pdfium, Reply::Ready(confinement))) {
        Ok((pdfium, ready)) => match serve(pdfium, channel, &ready) {
            Ok(()) => ExitCode::SUCCESS,
            // The parent is gone, or does not keep to the protocol: nobody is left to tell.
            Err(_) => ExitCode::FAILURE,
        },
        Err(why) => {
            let told = Channel { stream: channel }.send(&Reply::NotReady(why), MAX_NOTE);
            drop(told);
            ExitCode::FAILURE
        }
    }
}

/// Bytes of an answer that is not a document.
const MAX_NOTE: u64 = 4000;

fn start(arguments: &Arguments) -> Result<(&'static Pdfium, super::Confinement), String> {
    os::close_inherited_files();
    confine::limit_resources(arguments.memory_bytes).map_err(|error| format!("a limit cannot be set: {error}"))?;
    let network_namespace = confine::leave_network();
    confine::die_with(arguments.parent)?;
    os::exit_when_out_of_memory();
    let pdfium = Pdfium::load(&arguments.pdfium)
        .map_err(|error| format!("pdfium cannot be loaded from {}: {error}", arguments.pdfium.display()))?;
    let file_system = confine::leave_file_system();
    let system_calls = confine::refuse_system_calls();
    // Never unloaded: what it registered for the end of the process runs after `main`.
    let pdfium = Box::leak(Box::new(pdfium));
    Ok((pdfium, super::Confinement { network_namespace, file_system, system_calls }))
}

struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// False if the message is longer than it may be; nothing is sent then.
    fn send(&mut self, reply: &Reply, max: u64) -> io::Result<bool> {
        let Some(bytes) = protocol::encode(reply, max) else { return Ok(false) };
        self.stream.write_all(&bytes)?;
        Ok(true)
    }
}

fn serve(pdfium: &Pdfium, stream: UnixStream, ready: &Reply) -> io::Result<()> {
    const BETWEEN_REPORTS: Duration = Duration::from_millis(100);
    let mut channel = Channel { stream };
    channel.send(ready, MAX_NOTE)?;
    while let Some((bytes, file)) = os::receive(&channel.stream)? {
        let request: Request = bytes.get(HEADER..).and_then(protocol::decode).ok_or(io::ErrorKind::InvalidData)?;
        confine::limit_cpu_time(request.cpu_seconds)?;
        os::forget_failed_allocations();
        let mut reported = Instant::now();
        let result = read_document(pdfium, file, &request, &mut |done, total| {
            if done == total || done == 1 || reported.elapsed() >= BETWEEN_REPORTS {
                reported = Instant::now();
                // A parent that is gone shows at the next answer.
                let _ = channel.send(&Reply::Progress(done, total), MAX_NOTE);
            }
        });
        let reply = match result {
            Ok(extracted) => Reply::Done(Box::new(extracted), peak_bytes()),
            Err(failure) => Reply::Failed(failure),
        };
        if !channel.send(&reply, request.max_response_bytes)? {
            let failure = protocol::Failure::AnswerTooLarge { max: request.max_response_bytes };
            channel.send(&Reply::Failed(failure), MAX_NOTE)?;
        }
    }
    Ok(())
}

/// Largest resident size of this process so far.
fn peak_bytes() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) << 10)
}
