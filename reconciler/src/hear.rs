//! What other reconcilers of the same PostgreSQL say: that one put a commit in force, or was told to
//! look. It is a hint and no more: whoever missed it looks at its next interval.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    follow::chain,
    store::{CHANNEL, Engine},
};

/// How long to wait before listening again when that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something else is in force.
    Applied,
    /// The repository is to be looked at.
    Nudge,
}

impl Heard {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Nudge => "nudge",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Applied, Self::Nudge].into_iter().find(|heard| heard.as_str() == word)
    }
}

/// The task that listens. It ends when `stop` is cancelled, and at once where there is nobody to hear.
pub async fn listen(engine: Engine, heard: mpsc::Sender<Heard>, stop: CancellationToken) {
    let Engine::Postgres(options) = engine else { return stop.cancelled().await };
    loop {
        // Cancel-safe: a listener that is dropped only hears no more.
        tokio::select! {
            () = stop.cancelled() => return,
            result = hear(&options, &heard) => if let Err(error) = result {
                tracing::warn!(error = chain(&error), "cannot listen to other reconcilers; trying again");
            },
        }
        // Cancel-safe: waiting holds nothing.
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn hear(
    options: &sqlx::postgres::PgConnectOptions,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), sqlx::Error> {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was said before this began to listen, and while the connection was lost, is not heard.
        let _ = heard.try_send(Heard::Applied);
        while let Some(said) = listener.try_recv().await? {
            if let Some(said) = Heard::from_word(said.payload()) {
                // A full queue holds the same already.
                let _ = heard.try_send(said);
            }
        }
    }
}
