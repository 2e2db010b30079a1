//! Starting children from a thread that stays.
//!
//! A child asks the kernel to be killed with its parent, and by parent the kernel means the thread that started it. The
//! threads of a runtime come and go; this one lives as long as the extractor.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    process::Stdio,
    sync::mpsc,
};

use tokio::{
    net::UnixStream,
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

/// A child that was just started, and the way to talk to it.
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) stream: UnixStream,
}

struct Order {
    program: PathBuf,
    arguments: Vec<String>,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Spawned>>,
}

/// The thread that starts children. Dropping it ends the thread, and so the children that are left.
#[derive(Debug)]
pub(super) struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    pub(super) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new().name("extract-spawner".into()).spawn(move || {
            for order in inbox {
                // Where nobody waits for it any more, the child is killed by being dropped.
                let spawned = spawn(&order);
                let _ = order.reply.send(spawned);
            }
        })?;
        Ok(Self { orders })
    }

    pub(super) async fn spawn(&self, program: PathBuf, arguments: Vec<String>) -> io::Result<Spawned> {
        let (reply, answer) = oneshot::channel();
        let order = Order { program, arguments, runtime: Handle::current(), reply };
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.send(order).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn(order: &Order) -> io::Result<Spawned> {
    let _runtime = order.runtime.enter();
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let stream = UnixStream::from_std(ours)?;
    let child = Command::new(&order.program)
        .args(&order.arguments)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of reach of the terminal's Ctrl-C: a shutdown lets documents in hand end.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Spawned { child, stream })
}
