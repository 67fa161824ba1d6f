//! What the files of runs may take of the link: a rate, and nothing while an exclusive run goes on. A measurement
//! must not measure their upload.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{self, Instant},
};

use almanac_schemas::Size;

use crate::{container::smaller, pace::Pace, run::RunKey};

/// What is known about the link. Clones share it.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The most that the host gives, per second.
    most: Option<Size>,
    rate: watch::Sender<Option<Size>>,
    exclusive: watch::Sender<BTreeSet<RunKey>>,
    bytes: Arc<Mutex<Pace>>,
    calls: Arc<Mutex<Pace>>,
}

/// How many calls bring files in a second, in the long run. Reconcilers take 100 of each node, and reports and
/// heartbeats are to get through as well.
const CALLS: u64 = 80;

/// How many of the calls that were not made may be made up for: less than what reconcilers take at once.
const BURST: Duration = Duration::from_secs(5);

impl Traffic {
    /// A link of which the host gives at most so much per second.
    pub fn new(most: Option<Size>) -> Self {
        Self {
            most,
            rate: watch::Sender::new(most),
            exclusive: watch::Sender::default(),
            bytes: Arc::new(Mutex::new(Pace::new(Instant::now(), Duration::ZERO))),
            calls: Arc::new(Mutex::new(Pace::new(Instant::now(), BURST))),
        }
    }

    /// What the node's manifest gives, per second. The smaller of the two holds.
    pub fn limit(&self, rate: Option<Size>) {
        self.rate.send_replace(smaller(rate, self.most));
    }

    /// A run that may be exclusive.
    pub fn measurement(&self, key: RunKey, is_exclusive: bool) -> Measurement {
        Measurement { key, is_exclusive, exclusive: self.exclusive.clone() }
    }

    /// Whether an exclusive run goes on.
    pub fn is_taken(&self) -> bool {
        !self.exclusive.borrow().is_empty()
    }

    /// Waits until no exclusive run goes on. Cancel-safe: it holds nothing.
    pub async fn free(&self) {
        // The sender is this one's own, so that it cannot be gone.
        let _ = self.exclusive.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// Waits until an exclusive run begins. Cancel-safe: it holds nothing.
    pub async fn taken(&self) {
        let _ = self.exclusive.subscribe().wait_for(|runs| !runs.is_empty()).await;
    }

    /// Waits until so many bytes may go, after those that others have asked for. Whoever stops waiting has used them
    /// all the same.
    pub async fn turn(&self, bytes: usize) {
        let Some(rate) = *self.rate.borrow() else { return };
        let at = book(&self.bytes, bytes as u64, rate.as_bytes());
        time::sleep_until(at).await;
    }

    /// Waits until another call may be made with so many bytes, and no exclusive run goes on.
    pub async fn opening(&self, bytes: usize) {
        loop {
            self.free().await;
            let turn = async {
                time::sleep_until(book(&self.calls, 1, CALLS)).await;
                self.turn(bytes).await;
            };
            tokio::select! {
                biased;
                // Cancel-safe: nothing was sent, and it is all waited for anew.
                () = self.taken() => {}
                () = turn => return,
            }
        }
    }
}

fn book(pace: &Mutex<Pace>, count: u64, rate: u64) -> Instant {
    pace.lock().unwrap_or_else(PoisonError::into_inner).book(count, rate, Instant::now())
}

/// A run, as far as the link is concerned. It has ended when this is dropped.
#[derive(Debug)]
pub struct Measurement {
    key: RunKey,
    is_exclusive: bool,
    exclusive: watch::Sender<BTreeSet<RunKey>>,
}

impl Measurement {
    /// Its command is about to begin, or has begun. Said twice, it changes nothing.
    pub fn begin(&self) {
        if self.is_exclusive {
            self.exclusive.send_if_modified(|runs| runs.insert(self.key));
        }
    }

    /// Its command has ended, or never began.
    pub fn end(&self) {
        self.exclusive.send_if_modified(|runs| runs.remove(&self.key));
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};
    use chrono::{DateTime, Utc};

    use super::*;

    fn key(second: i64) -> RunKey {
        let at: DateTime<Utc> = DateTime::from_timestamp(second, 0).unwrap();
        RunKey {
            id: RunId::new(&"job".parse().unwrap(), &"node".parse().unwrap(), at),
            role: RunRole::Client,
        }
    }

    #[tokio::test]
    async fn the_link_is_taken_while_any_exclusive_run_goes_on() {
        let traffic = Traffic::new(None);
        let (one, other) = (traffic.measurement(key(1), true), traffic.measurement(key(2), true));
        traffic.measurement(key(3), false).begin();
        assert!(!traffic.is_taken());
        one.begin();
        one.begin();
        other.begin();
        traffic.taken().await;
        one.end();
        assert!(traffic.is_taken());
        drop(other);
        traffic.free().await;
        assert!(!traffic.is_taken());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_turn_as_an_exclusive_run_begins_waits_for_its_end() {
        let traffic = Traffic::new(Some(Size::from_bytes(1000)));
        let measurement = traffic.measurement(key(1), true);
        let begun = Instant::now();
        traffic.opening(1000).await;
        let other = traffic.clone();
        let opening = tokio::spawn(async move { other.opening(1000).await });
        time::sleep(Duration::from_millis(500)).await;
        measurement.begin();
        time::sleep(Duration::from_secs(60)).await;
        assert!(!opening.is_finished());
        measurement.end();
        opening.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_millis(60_500));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_not_more_than_a_reconciler_takes() {
        let traffic = Traffic::new(None);
        time::sleep(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..500 {
            traffic.opening(0).await;
        }
        let most = CALLS * BURST.as_secs();
        assert!(begun.elapsed().as_secs() >= (500 - most) / CALLS - 1, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_smaller_rate_holds_for_all_together() {
        let traffic = Traffic::new(Some(Size::from_bytes(1000)));
        traffic.limit(Some(Size::from_bytes(5000)));
        let begun = Instant::now();
        tokio::join!(traffic.turn(500), traffic.turn(500), traffic.turn(500));
        assert_eq!(begun.elapsed().as_millis(), 1000, "the first goes at once");
        traffic.limit(Some(Size::from_bytes(100)));
        traffic.turn(1).await;
        traffic.turn(1).await;
        assert_eq!(begun.elapsed().as_millis(), 1510);
        Traffic::new(None).turn(usize::MAX).await;
    }
}
