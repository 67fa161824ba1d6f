//! What other reconcilers of the same PostgreSQL say: that one put a commit in force, was told to look, was told
//! something for a node, or has news of a task. It is a hint and no more: whoever missed it looks at its next interval, and when it is
//! connected again.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    causes::chain,
    store::{CHANNEL, Engine, LETTERS, Store, StoreError},
};

/// How long to wait before listening again when that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// After how long a silence the connection is tried, and how long that may take.
const SILENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something else is in force.
    Applied,
    /// The leader looked at the repository.
    Looked,
    /// The repository is to be looked at.
    Nudge,
    /// Somebody said something to a node.
    Instructed,
    /// Something was fetched for nodes.
    Fetched,
    /// A task of a server changed.
    Tasked,
}

impl Heard {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Looked => "looked",
            Self::Nudge => "nudge",
            Self::Instructed => "instructed",
            Self::Fetched => "fetched",
            Self::Tasked => "tasked",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Applied, Self::Looked, Self::Nudge, Self::Instructed, Self::Fetched, Self::Tasked]
            .into_iter()
            .find(|heard| heard.as_str() == word)
    }
}

/// What was heard and nobody acted upon yet: each once, however often it was said.
#[derive(Debug)]
pub struct Ears {
    /// The repository is to be looked at.
    pub nudge: Notify,
    /// There is something new in the database.
    pub news: Notify,
    /// Somebody said something to a node.
    pub instructions: Notify,
    /// Something was fetched for nodes.
    pub surroundings: Notify,
    /// A task of a server changed.
    pub tasks: Notify,
    letters: mpsc::Sender<String>,
}

impl Ears {
    /// Nothing was heard yet. Letters about logs go to whoever reads them.
    pub fn new(letters: mpsc::Sender<String>) -> Self {
        let (nudge, news, instructions, surroundings, tasks) = Default::default();
        Self { nudge, news, instructions, surroundings, tasks, letters }
    }

    fn hear(&self, said: Heard) {
        match said {
            Heard::Nudge => self.nudge.notify_one(),
            Heard::Applied | Heard::Looked => self.news.notify_one(),
            Heard::Instructed => self.instructions.notify_one(),
            Heard::Fetched => self.surroundings.notify_one(),
            Heard::Tasked => self.tasks.notify_one(),
        }
    }
}

/// The task that listens. It holds a connection open, so it is the one that knows when the database is away. It ends
/// when `stop` is cancelled, and does nothing where there is nobody to hear.
pub async fn listen(store: Store, ears: Arc<Ears>, stop: CancellationToken) {
    let Engine::Postgres { options, .. } = store.engine() else { return stop.cancelled().await };
    loop {
        // Cancel-safe: a listener that is dropped only hears no more.
        let Err(error) = tokio::select! {
            () = stop.cancelled() => return,
            result = hear(options, &store, &ears) => result,
        };
        if store.lost() {
            tracing::warn!(
                error = chain(&error),
                "the database cannot be reached; trying again every second"
            );
        }
        // Cancel-safe: waiting holds nothing.
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn hear(options: &PgConnectOptions, store: &Store, ears: &Ears) -> Result<Infallible, StoreError> {
    let one = PgPoolOptions::new().max_connections(1);
    let pool = timeout(PATIENCE, one.connect_with(options.clone())).await??;
    let mut listener = timeout(PATIENCE, PgListener::connect_with(&pool)).await??;
    listener.eager_reconnect(false);
    timeout(PATIENCE, listener.listen_all([CHANNEL, LETTERS])).await??;
    if let Some(away) = store.found() {
        tracing::info!(seconds = away.as_secs(), "the database is reached again");
    }
    // What was said before this began to listen is not heard.
    ears.hear(Heard::Instructed);
    ears.hear(Heard::Fetched);
    ears.hear(Heard::Tasked);
    let mut said = Some(Heard::Applied);
    loop {
        if let Some(said) = said {
            ears.hear(said);
        }
        // Cancel-safe: what was received in part is kept by the connection.
        said = match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(letter))) if letter.channel() == LETTERS => {
                // What does not fit is asked for again.
                let _ = ears.letters.try_send(letter.payload().to_owned());
                None
            }
            Ok(Ok(Some(said))) => Heard::from_word(said.payload()),
            Ok(Ok(None)) => {
                return Err(sqlx::Error::from(io::Error::from(io::ErrorKind::ConnectionAborted)).into());
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                // A connection whose other end is gone without a word looks like one on which nothing is said.
                timeout(PATIENCE, listener.execute("SELECT 1")).await??;
                None
            }
        };
    }
}
