//! What nodes say about themselves is kept in memory and written together every few seconds: a
//! heartbeat is frequent, small, and worth nothing once the next one came.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use almanac_schemas::NodeName;
use almanac_validate::Testbed;
use chrono::TimeDelta;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Pace;
use crate::{
    applied::Applied,
    causes::chain,
    metrics::Metrics,
    store::{Engine, HeartbeatRow, Store, StoreError},
};

/// How often they are written. A reconciler that dies loses no more than this, and every node says
/// the same again soon.
const FLUSH: Duration = Duration::from_secs(5);

/// What nodes said last. Clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    seen: Arc<Mutex<Seen>>,
    most_per_second: NonZeroU32,
}

#[derive(Debug, Default)]
struct Seen {
    rows: BTreeMap<NodeName, HeartbeatRow>,
    unwritten: BTreeSet<NodeName>,
}

impl Heartbeats {
    /// Starts from what the database has. All nodes together are to send at most so many in a second.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn load(store: &Store, most_per_second: NonZeroU32) -> Result<Self, StoreError> {
        let rows = store.heartbeats().await?.into_iter().map(|row| (row.node.clone(), row)).collect();
        let seen = Arc::new(Mutex::new(Seen { rows, unwritten: BTreeSet::new() }));
        Ok(Self { seen, most_per_second })
    }

    /// How often the declared nodes are to be heard of.
    pub fn pace(&self, applied: &Applied) -> Pace {
        let declared = &applied.testbed;
        Pace::of(&declared.config.heartbeat, declared.nodes.len(), self.most_per_second)
    }

    /// Takes a heartbeat. It goes on with what was heard before unless there was a silence of `gap`.
    pub fn put(&self, mut row: HeartbeatRow, gap: TimeDelta) {
        let mut seen = self.lock();
        if let Some(before) = seen.rows.get(&row.node)
            && row.last_seen - before.last_seen <= gap
        {
            row.online_since = before.online_since;
        }
        let off_since = |row: &HeartbeatRow| row.clock.and_then(|clock| clock.off_since);
        if let Some(before) = seen.rows.get(&row.node).and_then(off_since)
            && let Some(clock) = &mut row.clock
            && clock.off_since.is_some()
        {
            // The stream is another one, and the clock the same.
            clock.off_since = Some(before);
        }
        seen.unwritten.insert(row.node.clone());
        seen.rows.insert(row.node.clone(), row);
    }

    /// What a node said last.
    pub fn get(&self, node: &NodeName) -> Option<HeartbeatRow> {
        self.lock().rows.get(node).cloned()
    }

    /// How many are not in the database yet.
    pub fn unwritten(&self) -> usize {
        self.lock().unwritten.len()
    }

    /// How many nodes have a clock that is off.
    pub fn clocks_off(&self) -> usize {
        let off = |row: &&HeartbeatRow| row.clock.is_some_and(|clock| clock.off_since.is_some());
        self.lock().rows.values().filter(off).count()
    }

    /// Forgets what nodes said that are not declared any more.
    pub fn keep(&self, declared: &Testbed) {
        let mut seen = self.lock();
        let Seen { rows, unwritten } = &mut *seen;
        rows.retain(|node, _| declared.nodes.contains_key(node));
        unwritten.retain(|node| rows.contains_key(node));
    }

    /// The task that writes them, for as long as their nodes are declared. It ends when `stop` is cancelled, after a
    /// last write.
    pub async fn run(
        self,
        store: Store,
        applied: watch::Receiver<Arc<Applied>>,
        metrics: Metrics,
        stop: CancellationToken,
    ) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing: Option<Instant> = None;
        loop {
            // Cancel-safe: a tick that was not taken comes again, a cancelled token stays cancelled.
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                _ = tick.tick() => false,
            };
            let declared = Arc::clone(&applied.borrow().testbed);
            let exchanged =
                timeout(FLUSH, self.exchange(&store, &declared, &metrics)).await.map_err(StoreError::from);
            // Said when it begins and when it ends, and not every few seconds in between.
            match (exchanged.and_then(|exchanged| exchanged), failing) {
                (Ok(()), None) | (Err(_), Some(_)) => {}
                // That the database is away is said by who knows it.
                (Err(StoreError::Lost), None) => {}
                (Ok(()), Some(since)) => {
                    failing = None;
                    tracing::info!(seconds = since.elapsed().as_secs(), "heartbeats are written again");
                }
                (Err(error), None) => {
                    failing = Some(Instant::now());
                    tracing::warn!(error = chain(&error), "cannot write heartbeats; trying again");
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Writes what was heard here, and takes over what other reconcilers of the same database heard.
    async fn exchange(&self, store: &Store, declared: &Testbed, metrics: &Metrics) -> Result<(), StoreError> {
        self.keep(declared);
        self.flush(store, metrics).await?;
        if matches!(store.engine(), Engine::Postgres { .. }) {
            let rows = metrics.database("heartbeats", store.unless_lost(store.heartbeats())).await?;
            let mut seen = self.lock();
            for row in rows {
                let older = seen.rows.get(&row.node).is_none_or(|mine| mine.last_seen < row.last_seen);
                if older && declared.nodes.contains_key(&row.node) {
                    seen.rows.insert(row.node.clone(), row);
                }
            }
        }
        Ok(())
    }

    async fn flush(&self, store: &Store, metrics: &Metrics) -> Result<(), StoreError> {
        let rows: Vec<HeartbeatRow> = {
            let seen = self.lock();
            seen.unwritten.iter().filter_map(|node| seen.rows.get(node).cloned()).collect()
        };
        if rows.is_empty() {
            return Ok(());
        }
        metrics.database("put_heartbeats", store.unless_lost(store.put_heartbeats(&rows))).await?;
        let mut seen = self.lock();
        for row in rows {
            // What was heard meanwhile is not written yet.
            if seen.rows.get(&row.node) == Some(&row) {
                seen.unwritten.remove(&row.node);
            }
        }
        Ok(())
    }

    /// Nothing that holds the lock can leave the map half changed, so a panic elsewhere is no reason
    /// to stop serving.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
