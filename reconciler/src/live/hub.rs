//! Who watches what which node measures, and what was heard of each last.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use almanac_proto::reading::Reading;
use almanac_schemas::{NodeName, trigger::Provider};
use thiserror::Error;
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};
use uuid::Uuid;

use crate::logs::{hub::LEASE, post::Post};

/// How many messages of a node a watcher may be behind. At six providers once a second that is ten seconds; one that
/// reads more slowly goes on with what is new.
const BEHIND: usize = 64;

/// How many may watch at once, at one reconciler. Each costs it a task.
const WATCHERS: usize = 1000;

/// How many nodes one caller may watch at once.
const WATCHERS_EACH: usize = 32;

/// The nodes that are to send what they measure.
pub type Wanted = BTreeSet<NodeName>;

/// What was measured last, by provider.
pub type Latest = BTreeMap<Provider, Reading>;

/// What a node said at once; nothing when it only says that it is there.
pub type News = Arc<[Reading]>;

/// Who watches which node. Clones share it.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Mutex<Entries>,
    wanted: watch::Sender<Arc<Wanted>>,
    post: Option<Post>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The nodes that somebody watches.
    of: HashMap<NodeName, Entry>,
    /// What was heard last of each node that anybody ever watched.
    latest: HashMap<NodeName, Latest>,
    /// How many nodes each caller watches.
    callers: HashMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    /// How many watch here.
    here: usize,
    /// The reconcilers at which somebody watches, and until when their word counts.
    elsewhere: HashMap<Uuid, Instant>,
    /// Whether the node was heard of since somebody watches.
    is_heard: bool,
    news: broadcast::Sender<News>,
}

/// Too many watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// Everybody together.
    #[error("{WATCHERS} nodes are watched already; try again when fewer are")]
    All,
    /// The caller alone.
    #[error("you watch {WATCHERS_EACH} nodes already; end one of them first")]
    Caller,
}

/// Somebody who watches a node, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// What the node says from now on.
    pub news: broadcast::Receiver<News>,
    /// Whether it was heard of already, for somebody else.
    pub is_heard: bool,
    live: Live,
    node: NodeName,
    caller: String,
}

impl Live {
    /// Nobody watches yet. Where several reconcilers share a database, letters go by `post`.
    pub fn new(post: Option<Post>) -> Self {
        Self(Arc::new(Inner { entries: Mutex::default(), wanted: watch::Sender::default(), post }))
    }

    /// Somebody begins to watch a node.
    ///
    /// # Errors
    ///
    /// When too many do.
    pub fn watch(&self, node: &NodeName, caller: &str) -> Result<Watching, Full> {
        let mut entries = self.lock();
        if entries.callers.values().sum::<usize>() >= WATCHERS {
            return Err(Full::All);
        }
        let mine = entries.callers.entry(caller.to_owned()).or_default();
        if *mine >= WATCHERS_EACH {
            return Err(Full::Caller);
        }
        *mine += 1;
        let entry = entries.of.entry(node.clone()).or_insert_with(Entry::new);
        entry.here += 1;
        let (news, is_heard, is_first) = (entry.news.subscribe(), entry.is_heard, entry.here == 1);
        self.tell(&entries);
        drop(entries);
        if is_first && let Some(post) = &self.0.post {
            post.want_telemetry(node);
        }
        Ok(Watching { news, is_heard, live: self.clone(), node: node.clone(), caller: caller.to_owned() })
    }

    /// What was heard last of a node.
    pub fn latest(&self, node: &NodeName) -> Latest {
        self.lock().latest.get(node).cloned().unwrap_or_default()
    }

    /// A node said something, on its stream to this reconciler.
    pub fn said(&self, node: &NodeName, readings: Vec<Reading>) {
        let Some(news) = self.hear(node, readings) else { return };
        let is_elsewhere = self.lock().of.get(node).is_some_and(|entry| !entry.elsewhere.is_empty());
        if is_elsewhere && let Some(post) = &self.0.post {
            post.tell_telemetry(node, &news);
        }
    }

    /// Another reconciler says what a node said there.
    pub fn said_elsewhere(&self, node: &NodeName, reading: Option<Reading>) {
        self.hear(node, reading.into_iter().collect());
    }

    /// Passes on what a node said to those who watch here; none when nobody watches.
    fn hear(&self, node: &NodeName, readings: Vec<Reading>) -> Option<News> {
        let mut entries = self.lock();
        let Entries { of, latest, .. } = &mut *entries;
        let entry = of.get_mut(node)?;
        entry.is_heard = true;
        let news = News::from(readings);
        let latest = latest.entry(node.clone()).or_default();
        for reading in &*news {
            if reading.sample.is_empty() {
                latest.remove(&reading.provider);
            } else {
                latest.insert(reading.provider, reading.clone());
            }
        }
        // Those who watch may all be elsewhere.
        let _ = entry.news.send(Arc::clone(&news));
        Some(news)
    }

    /// Somebody watches a node at another reconciler.
    pub fn wanted_elsewhere(&self, node: &NodeName, replica: Uuid) {
        let mut entries = self.lock();
        let entry = entries.of.entry(node.clone()).or_insert_with(Entry::new);
        let is_new = entry.elsewhere.insert(replica, Instant::now() + LEASE).is_none();
        let is_heard = entry.is_heard;
        self.tell(&entries);
        let latest = entries.latest.get(node).filter(|_| is_new && is_heard).cloned();
        drop(entries);
        // The node has said it already and does not say it again.
        if let (Some(latest), Some(post)) = (latest, &self.0.post) {
            post.tell_telemetry(node, &latest.into_values().collect::<Vec<_>>());
        }
    }

    /// Nobody watches a node any more at another reconciler.
    pub fn done_elsewhere(&self, node: &NodeName, replica: Uuid) {
        let mut entries = self.lock();
        if let Some(entry) = entries.of.get_mut(node) {
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

    /// The nodes that somebody watches here.
    pub fn watched_here(&self) -> Vec<NodeName> {
        let entries = self.lock();
        entries.of.iter().filter(|(_, entry)| entry.here > 0).map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that are to send what they measure, and when that changes.
    pub fn wanted(&self) -> watch::Receiver<Arc<Wanted>> {
        self.0.wanted.subscribe()
    }

    fn leave(&self, node: &NodeName, caller: &str) {
        let mut entries = self.lock();
        if let Some(mine) = entries.callers.get_mut(caller) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                entries.callers.remove(caller);
            }
        }
        let Some(entry) = entries.of.get_mut(node) else { return };
        entry.here = entry.here.saturating_sub(1);
        let is_last = entry.here == 0;
        self.tidy(&mut entries);
        drop(entries);
        if is_last && let Some(post) = &self.0.post {
            post.done_telemetry(node);
        }
    }

    /// Forgets the nodes that nobody watches any more.
    fn tidy(&self, entries: &mut Entries) {
        entries.of.retain(|_, entry| entry.here > 0 || !entry.elsewhere.is_empty());
        self.tell(entries);
    }

    /// Tells the streams of nodes what is wanted of them.
    fn tell(&self, entries: &Entries) {
        let wanted: Wanted = entries.of.keys().cloned().collect();
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

impl Entry {
    fn new() -> Self {
        Self { here: 0, elsewhere: HashMap::new(), is_heard: false, news: broadcast::Sender::new(BEHIND) }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.live.leave(&self.node, &self.caller);
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::trigger::Value;
    use chrono::DateTime;

    use super::*;

    fn node() -> NodeName {
        "london-01".parse().unwrap()
    }

    fn reading(latency: Option<f64>) -> Reading {
        let sample = latency.map(|latency| ("pop_ping_latency_ms".to_owned(), Value::Number(latency)));
        Reading { provider: Provider::Dish, at: DateTime::UNIX_EPOCH, sample: sample.into_iter().collect() }
    }

    fn wanted(live: &Live) -> bool {
        live.wanted().borrow().contains(&node())
    }

    #[test]
    fn a_node_sends_while_anybody_watches_and_what_it_said_last_stays() {
        let live = Live::new(None);
        live.said(&node(), vec![reading(Some(1.0))]);
        assert!(live.latest(&node()).is_empty(), "nobody asked");
        let mut first = live.watch(&node(), "alice").unwrap();
        live.said(&node(), vec![reading(Some(61.0))]);
        let second = live.watch(&node(), "bob").unwrap();
        assert!(!first.is_heard && second.is_heard);
        assert_eq!(first.news.try_recv().unwrap()[..], [reading(Some(61.0))]);
        drop(first);
        assert!(wanted(&live));
        drop(second);
        assert!(!wanted(&live));
        assert_eq!(live.latest(&node())[&Provider::Dish], reading(Some(61.0)));
        let third = live.watch(&node(), "bob").unwrap();
        assert!(!third.is_heard, "what was said before is not of now");
        live.said(&node(), vec![reading(None)]);
        assert!(live.latest(&node()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn another_reconcilers_word_counts_for_a_while() {
        let live = Live::new(None);
        let replica = Uuid::new_v4();
        live.wanted_elsewhere(&node(), replica);
        assert!(wanted(&live) && live.watched_here().is_empty());
        tokio::time::advance(LEASE / 2).await;
        live.wanted_elsewhere(&node(), replica);
        tokio::time::advance(LEASE / 2).await;
        live.expire();
        assert!(wanted(&live));
        tokio::time::advance(LEASE).await;
        live.expire();
        assert!(!wanted(&live));
        live.wanted_elsewhere(&node(), replica);
        live.done_elsewhere(&node(), replica);
        assert!(!wanted(&live));
    }

    #[test]
    fn nobody_watches_more_than_their_share() {
        let live = Live::new(None);
        let mine: Vec<_> = (0..WATCHERS_EACH).map(|_| live.watch(&node(), "alice").unwrap()).collect();
        assert_eq!(live.watch(&node(), "alice").unwrap_err(), Full::Caller);
        assert!(live.watch(&node(), "bob").is_ok());
        drop(mine);
        let many: Vec<_> =
            (0..WATCHERS).map(|number| live.watch(&node(), &format!("{number}")).unwrap()).collect();
        assert_eq!(live.watch(&node(), "alice").unwrap_err(), Full::All);
        drop(many);
        assert!(live.watch(&node(), "alice").is_ok() && !wanted(&live));
    }
}
