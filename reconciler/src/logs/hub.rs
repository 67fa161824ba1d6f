//! Who watches which log, and which logs each node is to send.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac_schemas::NodeName;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    LogKey,
    letters::Letter,
    post::Post,
    relay::{Ask, QUESTIONS, Relay},
};
use crate::audience::{Audience, Full, Seat, Subject};

/// The logs that each node is to send.
pub type Wanted = BTreeMap<NodeName, BTreeSet<LogKey>>;

/// Who watches which log.
pub type Hub = Audience<Log>;

/// A log that somebody watches.
#[derive(Debug)]
pub struct Log {
    relay: Arc<Relay>,
    /// Stops the relay when nobody watches any more.
    _stop: DropGuard,
}

/// Somebody who watches a log, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// The log.
    pub relay: Arc<Relay>,
    _seat: Seat<Log>,
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
    /// Somebody begins to watch a log of a node's run.
    ///
    /// # Errors
    ///
    /// When too many do.
    pub fn watch(&self, key: LogKey, node: &NodeName, caller: &str) -> Result<Watching, Full> {
        let (seat, relay) = self.join(key, caller, || self.log(key, node), |log| Arc::clone(&log.relay))?;
        Ok(Watching { relay, _seat: seat })
    }

    /// Somebody watches a log at another reconciler.
    pub fn wanted_elsewhere(&self, key: LogKey, node: &NodeName, replica: Uuid) {
        self.join_elsewhere(key, replica, || self.log(key, node));
    }

    /// A log that somebody watches, here or elsewhere.
    pub fn relay(&self, key: LogKey) -> Option<Arc<Relay>> {
        self.with(&key, |log, ()| Arc::clone(&log.relay))
    }

    /// A node opens its stream for a log; nothing when nobody watches it, or it is of another node's run.
    pub fn connect(&self, key: LogKey, node: &NodeName) -> Option<Connected> {
        let relay = self.relay(key).filter(|relay| relay.node == *node)?;
        let (line, asked) = mpsc::channel(QUESTIONS);
        relay.connect(line.clone());
        Some(Connected { relay, asked, line })
    }

    fn log(&self, key: LogKey, node: &NodeName) -> Log {
        let stop = CancellationToken::new();
        let relay = Relay::new(key, node.clone(), self.post().cloned(), stop.clone());
        Log { relay: Arc::new(relay), _stop: stop.drop_guard() }
    }
}

impl Subject for Log {
    type Key = LogKey;
    type Wanted = Wanted;
    type Memory = ();
    const MANY: &'static str = "logs";

    fn wanted<'a>(watched: impl Iterator<Item = (&'a LogKey, &'a Self)>) -> Wanted {
        let mut wanted = Wanted::new();
        for (key, log) in watched {
            wanted.entry(log.relay.node.clone()).or_default().insert(*key);
        }
        wanted
    }

    fn want(&self, key: &LogKey, post: &Post) -> Letter {
        post.want(*key, &self.relay.node)
    }

    fn done(key: &LogKey, post: &Post) -> Letter {
        post.done(*key)
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
    fn a_log_ends_when_nobody_watches_it_any_more() {
        let hub = Hub::new(None);
        let first = hub.watch(key(1), &node(), "alice").unwrap();
        let second = hub.watch(key(1), &node(), "bob").unwrap();
        assert!(Arc::ptr_eq(&first.relay, &second.relay), "it is one log for all");
        hub.wanted_elsewhere(key(2), &node(), Uuid::nil());
        assert_eq!(wanted(&hub).len(), 2);
        hub.leave_elsewhere(&key(2), Uuid::nil());
        drop(first);
        assert_eq!(wanted(&hub), [key(1)]);
        let relay = Arc::clone(&second.relay);
        assert!(!relay.stop().is_cancelled());
        drop(second);
        assert!(wanted(&hub).is_empty() && relay.stop().is_cancelled());
        assert!(hub.connect(key(1), &node()).is_none());
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
