//! Who leads: of several reconcilers on one PostgreSQL, one puts commits in force.
//!
//! The leader holds an advisory lock on a connection of its own, which the server gives back when that
//! connection ends or rests for [`LEASE`]; each leader has a term, and a change that was decided in an earlier term is refused
//! by the database ([`crate::store::Base`]). So a leader that was only thought dead does no harm.

use std::{convert::Infallible, fmt, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    causes::chain,
    store::{Engine, LEASE, LeaderLock, Store, StoreError},
};

/// How often one that does not lead tries to, and how often one that leads looks whether it still does.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take to answer before a leader gives up: it does so before its lease ends, and
/// another one leads an [`INTERVAL`] after that at the latest.
const PATIENCE: Duration = Duration::from_secs(3);

const _: () = assert!(
    INTERVAL.as_millis() + PATIENCE.as_millis() < LEASE.as_millis(),
    "a leader steps down before another one may lead"
);

/// Whether this reconciler leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leadership {
    /// There is no other one: the database is a file on this machine.
    Alone,
    /// It leads, in this term.
    Leading(i64),
    /// Another one leads, or none does yet.
    Standby,
}

impl Leadership {
    /// Whether commits are put in force here.
    pub const fn leads(self) -> bool {
        !matches!(self, Self::Standby)
    }

    /// The term, where there is one.
    pub const fn term(self) -> Option<i64> {
        match self {
            Self::Leading(term) => Some(term),
            Self::Alone | Self::Standby => None,
        }
    }
}

impl fmt::Display for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => f.write_str("alone"),
            Self::Leading(term) => write!(f, "leading (term {term})"),
            Self::Standby => f.write_str("standby"),
        }
    }
}

/// The task that tries to lead. It ends when `stop` is cancelled, and gives leadership back.
#[derive(Debug)]
pub struct Lead {
    store: Store,
    state: watch::Sender<Leadership>,
    stop: CancellationToken,
}

impl Lead {
    /// Prepares the task, and says who leads from now on.
    pub fn new(store: Store, stop: CancellationToken) -> (Self, watch::Receiver<Leadership>) {
        let start = match store.engine() {
            Engine::Sqlite { .. } => Leadership::Alone,
            Engine::Postgres { .. } => Leadership::Standby,
        };
        let (state, seen) = watch::channel(start);
        (Self { store, state, stop }, seen)
    }

    /// Runs until it is stopped.
    pub async fn run(self) {
        let Engine::Postgres { options, .. } = self.store.engine() else {
            return self.stop.cancelled().await;
        };
        let mut said = String::new();
        loop {
            // Cancel-safe: dropping the lock's connection gives the lock back.
            let Err(error) = tokio::select! {
                () = self.stop.cancelled() => return,
                result = self.lead(options) => result,
            };
            let led = self.state.send_if_modified(|state| {
                let led = state.leads();
                *state = Leadership::Standby;
                led
            });
            let error = chain(&error);
            if led {
                tracing::warn!(error, "this reconciler does not lead any more");
            } else if error != said {
                // Once, and not every second for as long as the database is away.
                tracing::warn!(error, "cannot ask the database who leads; trying again");
            }
            said = error;
            // Cancel-safe: waiting holds nothing.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(INTERVAL) => {}
            }
        }
    }

    /// Waits until nobody leads, and leads for as long as the connection stands.
    async fn lead(&self, options: &PgConnectOptions) -> Result<Infallible, StoreError> {
        let mut lock = timeout(PATIENCE, LeaderLock::connect(options)).await??;
        while !timeout(PATIENCE, lock.take()).await?? {
            sleep(INTERVAL).await;
        }
        let term = timeout(PATIENCE, self.store.begin_term()).await??;
        // The lease may have ended while the term began.
        timeout(PATIENCE, lock.check()).await??;
        tracing::info!(term, "this reconciler leads");
        self.state.send_replace(Leadership::Leading(term));
        loop {
            sleep(INTERVAL).await;
            timeout(PATIENCE, lock.check()).await??;
        }
    }
}
