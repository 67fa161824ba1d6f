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
        self.presence.lost()
    }

    /// Takes it as known that the database is there. Says how long it was away.
    pub fn found(&self) -> Option<Duration> {
        self.presence.found()
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
        self.presence.unless_lost(work).await
    }
}

impl Presence {
    fn lost(&self) -> bool {
        self.0.send_if_modified(|since| {
            let news = since.is_none();
            since.get_or_insert_with(Instant::now);
            news
        })
    }

    fn found(&self) -> Option<Duration> {
        self.0.send_replace(None).map(|since| since.elapsed())
    }

    async fn unless_lost<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut seen = self.0.subscribe();
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

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Something that takes its time.
    async fn busy(seconds: u64) -> Result<u64, StoreError> {
        sleep(Duration::from_secs(seconds)).await;
        Ok(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_database_is_waited_for_and_one_that_is_away_is_not() {
        let presence = Presence::default();
        assert_eq!(presence.unless_lost(busy(14)).await.unwrap(), 14);
        assert!(presence.lost() && !presence.lost());
        let begun = Instant::now();
        assert!(matches!(presence.unless_lost(busy(14)).await, Err(StoreError::Lost)));
        assert_eq!(begun.elapsed(), GRACE);
        assert_eq!(presence.unless_lost(busy(0)).await.unwrap(), 0, "it may be back");
        assert_eq!(presence.found(), Some(GRACE));
        assert_eq!(presence.found(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_given_up_when_it_becomes_known_and_not_when_it_is_back_at_once() {
        let presence = Presence::default();
        let changing = async {
            sleep(Duration::from_secs(2)).await;
            presence.lost();
            sleep(GRACE / 2).await;
            presence.found();
            sleep(Duration::from_secs(2)).await;
            presence.lost();
        };
        let begun = Instant::now();
        let (given_up, ended, ()) =
            tokio::join!(presence.unless_lost(busy(14)), presence.unless_lost(busy(4)), changing);
        assert!(matches!(given_up, Err(StoreError::Lost)));
        assert_eq!(ended.unwrap(), 4);
        assert_eq!(begun.elapsed(), Duration::from_secs(4) + GRACE / 2 + GRACE);
    }
}
