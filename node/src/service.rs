//! What the agent tells the service manager: that it is ready, that it is alive, that it stops (sd_notify(3)).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::{
    dispatcher::Word,
    journal::{Journal, JournalError},
    runtime::chain,
};

/// The service manager, where the agent is its service.
#[derive(Debug, Clone, Default)]
pub struct Manager {
    /// Its socket; one that begins with `@` has no place in the file system.
    pub socket: Option<PathBuf>,
    /// How long it waits for a sign of life before it restarts the agent.
    pub watchdog: Option<Duration>,
}

/// How long it takes at most to stop what runs, beside the time that it is given: until it is killed, packed and
/// recorded.
pub const END: Duration = Duration::from_secs(30);

impl Manager {
    /// The agent has started.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The agent stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The agent takes longer than usual, but not longer than this.
    pub fn extend(&self, longest: Duration) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}", longest.as_micros()));
    }

    fn tell(&self, what: &str) {
        let Some(socket) = &self.socket else { return };
        match send(socket, what) {
            Ok(()) => debug!(what, "told the service manager"),
            Err(error) => {
                warn!(socket = %socket.display(), %error, "the service manager cannot be told {what}");
            }
        }
    }
}

fn send(socket: &Path, what: &str) -> io::Result<()> {
    let address = match socket.as_os_str().as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address).map(drop)
}

/// Gives signs of life until the agent stops, for as long as there is life: its dispatcher and its journal answer. An
/// agent that cannot read its journal starts nothing, and is better started again.
pub async fn live(manager: Manager, journal: Journal, words: mpsc::Sender<Word>, stop: CancellationToken) {
    let Some(watchdog) = manager.watchdog else { return };
    // Twice in the time, as sd_watchdog_enabled(3) has it.
    let pause = watchdog / 2;
    loop {
        let sign = async {
            match time::timeout(pause, look(&journal, &words)).await {
                Ok(Ok(())) => manager.tell("WATCHDOG=1"),
                Ok(Err(failure)) => {
                    error!(error = chain(&failure), "no sign of life: the journal cannot be read");
                }
                Err(_elapsed) => error!("no sign of life: the journal or the dispatcher does not answer"),
            }
            time::sleep(pause).await;
        };
        tokio::select! {
            // Cancel-safe: what stops needs no sign of life.
            () = stop.cancelled() => return,
            () = sign => {}
        }
    }
}

/// Waits for the journal and the dispatcher to answer.
async fn look(journal: &Journal, words: &mpsc::Sender<Word>) -> Result<(), JournalError> {
    journal.snapshot_received_at().await?;
    let (alive, answer) = oneshot::channel();
    if words.send(Word::Alive(alive)).await.is_err() || answer.await.is_err() {
        // The dispatcher has ended: the agent is stopping, or its dispatcher panicked, and then nothing starts any more.
        std::future::pending::<()>().await;
    }
    Ok(())
}
