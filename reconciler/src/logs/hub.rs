//! Who watches which log, and which logs each node is to send.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use almanac_schemas::NodeName;
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LogKey,
    post::Post,
    relay::{Ask, QUESTIONS, Relay},
};

/// How many may watch at once, at one reconciler. Each costs it a task, and each log 256 KiB.
const WATCHERS: usize = 1000;

/// How many logs one caller may watch at once.
const WATCHERS_EACH: usize = 32;

/// For how long another reconciler's word counts that somebody watches there. It repeats it sooner.
pub const LEASE: Duration = Duration::from_secs(10);

/// The logs that each node is to send.
pub type Wanted = BTreeMap<NodeName, BTreeSet<LogKey>>;

/// Who watches which log. Clones share it.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Mutex<Entries>,
    wanted: watch::Sender<Arc<Wanted>>,
    post: Option<Post>,
}

#[derive(Debug, Default)]
struct Entries {
    of: HashMap<LogKey, Entry>,
    /// How many logs each caller watches.
    callers: HashMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    relay: Arc<Relay>,
    /// How many watch here.
    here: usize,
    /// The reconcilers at which somebody watches, and until when their word counts.
    elsewhere: HashMap<Uuid, Instant>,
}

/// Too many watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// Everybody together.
    #[error("{WATCHERS} logs are watched already; try again when fewer are")]
    All,
    /// The caller alone.
    #[error("you watch {WATCHERS_EACH} logs already; end one of them first")]
    Caller,
}

/// Somebody who watches a log, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// The log.
    pub relay: Arc<Relay>,
    hub: Hub,
    caller: String,
}

/// A node's stream for a log, until this is dropped.
#[derive(Debug)]
pub struct Connected {
    /// The log.
    pub relay: Arc<Relay>,
    /// What the node is asked.
    pub asked: mpsc::Receiver<Ask>,
    line: mpsc::Sender<Ask>,
}

impl Hub {
    /// Nobody watches yet. Where several reconcilers share a database, letters go by `post`.
    pub fn new(post: Option<Post>) -> Self {
        let (entries, wanted) = (Mutex::default(), watch::Sender::default());
        Self(Arc::new(Inner { entries, wanted, post }))
    }

    /// What carries letters to other reconcilers, if there can be any.
    pub fn post(&self) -> Option<&Post> {
        self.0.post.as_ref()
    }

    /// Somebody begins to watch a log of a node's run.
    ///
    /// # Errors
    ///
    /// When too many do.
    pub fn watch(&self, key: LogKey, node: &NodeName, caller: &str) -> Result<Watching, Full> {
        let mut entries = self.lock();
        if entries.callers.values().sum::<usize>() >= WATCHERS {
            return Err(Full::All);
        }
        let mine = entries.callers.entry(caller.to_owned()).or_default();
        if *mine >= WATCHERS_EACH {
            return Err(Full::Caller);
        }
        *mine += 1;
        let entry = self.entry(&mut entries, key, node);
        entry.here += 1;
        let relay = Arc::clone(&entry.relay);
        let is_first = entry.here == 1;
        self.tell(&entries);
        drop(entries);
        if is_first && let Some(post) = self.post() {
            post.want(key, node);
        }
        Ok(Watching { relay, hub: self.clone(), caller: caller.to_owned() })
    }

    /// Somebody watches a log at another reconciler.
    pub fn wanted_elsewhere(&self, key: LogKey, node: &NodeName, replica: Uuid) {
        let mut entries = self.lock();
        self.entry(&mut entries, key, node).elsewhere.insert(replica, Instant::now() + LEASE);
        self.tell(&entries);
    }

    /// Nobody watches a log any more at another reconciler.
    pub fn done_elsewhere(&self, key: LogKey, replica: Uuid) {
        let mut entries = self.lock();
        if let Some(entry) = entries.of.get_mut(&key) {
            entry.elsewhere.remove(&replica);
        }
        self.tidy(&mut entries);
    }

    /// Forgets the word of reconcilers that have not repeated it.
    pub fn expire(&self) {
        let mut entries = self.lock();
        let now = Instant::now();
        for entry in entries.of.values_mut() {
            entry.elsewhere.retain(|_, until| *until > now);
        }
        self.tidy(&mut entries);
    }

    /// The logs that somebody watches here, and whose they are.
    pub fn watched_here(&self) -> Vec<(LogKey, NodeName)> {
        let entries = self.lock();
        let here = entries.of.iter().filter(|(_, entry)| entry.here > 0);
        here.map(|(key, entry)| (*key, entry.relay.node.clone())).collect()
    }

    /// A log that somebody watches, here or elsewhere.
    pub fn relay(&self, key: LogKey) -> Option<Arc<Relay>> {
        self.lock().of.get(&key).map(|entry| Arc::clone(&entry.relay))
    }

    /// A node opens its stream for a log; nothing when nobody watches it, or it is of another node's run.
    pub fn connect(&self, key: LogKey, node: &NodeName) -> Option<Connected> {
        let relay = self.relay(key).filter(|relay| relay.node == *node)?;
        let (line, asked) = mpsc::channel(QUESTIONS);
        relay.connect(line.clone());
        Some(Connected { relay, asked, line })
    }

    /// The logs that each node is to send, and when that changes.
    pub fn wanted(&self) -> watch::Receiver<Arc<Wanted>> {
        self.0.wanted.subscribe()
    }

    fn entry<'a>(&self, entries: &'a mut Entries, key: LogKey, node: &NodeName) -> &'a mut Entry {
        entries.of.entry(key).or_insert_with(|| {
            let relay = Relay::new(key, node.clone(), self.0.post.clone(), CancellationToken::new());
            Entry { relay: Arc::new(relay), here: 0, elsewhere: HashMap::new() }
        })
    }

    fn leave(&self, key: LogKey, caller: &str) {
        let mut entries = self.lock();
        if let Some(mine) = entries.callers.get_mut(caller) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                entries.callers.remove(caller);
            }
        }
        let Some(entry) = entries.of.get_mut(&key) else { return };
        entry.here = entry.here.saturating_sub(1);
        let is_last = entry.here == 0;
        self.tidy(&mut entries);
        drop(entries);
        if is_last && let Some(post) = self.post() {
            post.done(key);
        }
    }

    /// Forgets the logs that nobody watches any more.
    fn tidy(&self, entries: &mut Entries) {
        entries.of.retain(|_, entry| {
            let stays = entry.here > 0 || !entry.elsewhere.is_empty();
            if !stays {
                entry.relay.stop().cancel();
            }
            stays
        });
        self.tell(entries);
    }

    /// Tells the streams of nodes what is wanted of them.
    fn tell(&self, entries: &Entries) {
        let mut wanted = Wanted::new();
        for (key, entry) in &entries.of {
            wanted.entry(entry.relay.node.clone()).or_default().insert(*key);
        }
        self.0.wanted.send_if_modified(|known| {
            let differs = **known != wanted;
            if differs {
                *known = Arc::new(wanted);
            }
            differs
        });
    }

    /// Nothing that holds the lock can leave the maps half changed.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.hub.leave(self.relay.key, &self.caller);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.relay.disconnect(&self.line);
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};
    use chrono::DateTime;

    use super::*;

    fn key(second: i64) -> LogKey {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        LogKey { run: RunId::new(&"job".parse().unwrap(), &node(), at), role: RunRole::Client }
    }

    fn node() -> NodeName {
        "london-01".parse().unwrap()
    }

    fn wanted(hub: &Hub) -> Vec<LogKey> {
        let wanted = hub.wanted();
        wanted.borrow().get(&node()).into_iter().flatten().copied().collect()
    }

    #[test]
    fn a_log_is_wanted_while_anybody_watches_it() {
        let hub = Hub::new(None);
        let first = hub.watch(key(1), &node(), "alice").unwrap();
        let changes = hub.wanted();
        let second = hub.watch(key(1), &node(), "bob").unwrap();
        assert!(!changes.has_changed().unwrap(), "the node is told once");
        assert_eq!(wanted(&hub), [key(1)]);
        drop(first);
        assert_eq!(wanted(&hub), [key(1)]);
        let relay = Arc::clone(&second.relay);
        drop(second);
        assert!(wanted(&hub).is_empty() && relay.stop().is_cancelled());
        assert!(hub.connect(key(1), &node()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn another_reconcilers_word_counts_for_a_while() {
        let hub = Hub::new(None);
        let replica = Uuid::new_v4();
        hub.wanted_elsewhere(key(1), &node(), replica);
        hub.wanted_elsewhere(key(2), &node(), replica);
        assert!(hub.watched_here().is_empty());
        hub.done_elsewhere(key(2), replica);
        assert_eq!(wanted(&hub), [key(1)]);
        tokio::time::advance(LEASE / 2).await;
        hub.wanted_elsewhere(key(1), &node(), replica);
        tokio::time::advance(LEASE / 2).await;
        hub.expire();
        assert_eq!(wanted(&hub), [key(1)]);
        tokio::time::advance(LEASE).await;
        hub.expire();
        assert!(wanted(&hub).is_empty());
    }

    #[test]
    fn nobody_watches_more_than_their_share() {
        let hub = Hub::new(None);
        let mine: Vec<_> = (0..WATCHERS_EACH).map(|_| hub.watch(key(1), &node(), "alice").unwrap()).collect();
        assert_eq!(hub.watch(key(2), &node(), "alice").unwrap_err(), Full::Caller);
        assert!(hub.watch(key(2), &node(), "bob").is_ok());
        drop(mine);
        assert!(hub.watch(key(2), &node(), "alice").is_ok());
        let _many: Vec<_> =
            (0..WATCHERS).map(|number| hub.watch(key(1), &node(), &format!("{number}")).unwrap()).collect();
        assert_eq!(hub.watch(key(2), &node(), "alice").unwrap_err(), Full::All);
    }

    #[test]
    fn a_stream_of_another_node_is_not_taken() {
        let hub = Hub::new(None);
        let watching = hub.watch(key(1), &node(), "alice").unwrap();
        assert!(hub.connect(key(1), &"paris-01".parse().unwrap()).is_none());
        let connected = hub.connect(key(1), &node()).unwrap();
        assert!(watching.relay.connections().borrow().is_some());
        drop(connected);
        assert!(watching.relay.connections().borrow().is_none());
    }
}
