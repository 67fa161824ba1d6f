//! Whether the database is known to be away, and what that is good for: nobody waits for it then as long as for
//! one that is only busy.

use std::{
    future::{Future, pending},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Store, StoreError};

/// How long what is asked of a database that is known to be away is waited for: it may be back at any time, and
/// whoever holds a connection open is not the first to notice.
const GRACE: Duration = Duration::from_secs(1);

/// Since when the database is away, as far as that is known. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(watch::Sender<Option<Instant>>);

impl Store {
    /// Takes it as known that the database is away. Says whether that is news.
    pub fn lost(&self) -> bool {
        self.presence.0.send_if_modified(|since| {
            let news = since.is_none();
            since.get_or_insert_with(Instant::now);
            news
        })
    }

    /// Takes it as known that the database is there. Says how long it was away.
    pub fn found(&self) -> Option<Duration> {
        let mut away = None;
        self.presence.0.send_if_modified(|since| {
            away = since.take().map(|since| since.elapsed());
            away.is_some()
        });
        away
    }

    /// Does something with the database, but does not wait for one that is known to be away: a pool would try for as
    /// long as one that is busy may take.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] when it is away, and what the work has.
    pub async fn unless_lost<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut seen = self.presence.0.subscribe();
        let given_up = async {
            loop {
                if seen.wait_for(Option::is_some).await.is_err() {
                    return pending().await;
                }
                if timeout(GRACE, seen.wait_for(Option::is_none)).await.is_err() {
                    return;
                }
            }
        };
        // Cancel-safe: what is given up is undone by the server, as when the connection breaks.
        tokio::select! {
            result = work => result,
            () = given_up => Err(StoreError::Lost),
        }
    }
}
