//! How many streams of one kind a node may have.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use almanac_schemas::NodeName;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::metrics::Metrics;

/// The open streams of one kind, of all nodes. Clones share them.
#[derive(Debug, Clone)]
pub struct Streams {
    kind: StreamKind,
    most: NonZeroUsize,
    metrics: Metrics,
    open: Arc<Mutex<Open>>,
}

/// What streams are for. Those of one kind take no place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A node's desired state.
    Watch,
    /// A node's heartbeats.
    Heartbeat,
}

#[derive(Debug, Default)]
struct Open {
    /// Of each node, the oldest first.
    of: HashMap<NodeName, VecDeque<(u64, CancellationToken)>>,
    count: usize,
    next: u64,
}

/// The place of a stream, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    node: NodeName,
    id: u64,
    /// Cancelled when a newer stream takes the place.
    pub replaced: CancellationToken,
}

impl Streams {
    /// No stream is open yet.
    pub fn new(kind: StreamKind, most: NonZeroUsize, metrics: Metrics) -> Self {
        Self { kind, most, metrics, open: Arc::default() }
    }

    /// Opens a stream of a node. When it has too many, the oldest ends: an agent whose connections die
    /// without a word must always be able to come back.
    pub fn open(&self, node: NodeName) -> Place {
        let mut open = self.lock();
        open.next += 1;
        let id = open.next;
        let replaced = CancellationToken::new();
        let mine = open.of.entry(node.clone()).or_default();
        mine.push_back((id, replaced.clone()));
        let oldest = if mine.len() > self.most.get() { mine.pop_front() } else { None };
        match oldest {
            Some((_, token)) => token.cancel(),
            None => open.count += 1,
        }
        self.metrics.streams(self.kind, open.count, open.of.len());
        drop(open);
        Place { streams: self.clone(), node, id, replaced }
    }

    /// The end of a stream whose place was taken.
    pub fn replaced(&self, node: &NodeName) -> Status {
        let most = self.most;
        Status::aborted(format!(
            "a newer stream of `{node}` took this one's place; a node has {most} at most"
        ))
    }

    fn close(&self, node: &NodeName, id: u64) {
        let mut open = self.lock();
        let Some(mine) = open.of.get_mut(node) else { return };
        let before = mine.len();
        mine.retain(|(other, _)| *other != id);
        let (closed, none_left) = (before - mine.len(), mine.is_empty());
        if none_left {
            open.of.remove(node);
        }
        open.count -= closed;
        self.metrics.streams(self.kind, open.count, open.of.len());
    }

    /// Nothing that holds the lock can leave the maps half changed.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.close(&self.node, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stream_gives_way() {
        let streams =
            Streams::new(StreamKind::Watch, NonZeroUsize::MIN.saturating_add(1), Metrics::default());
        let open = || streams.open("london-01".parse().unwrap());
        let counts = || {
            let open = streams.lock();
            (open.count, open.of.len())
        };
        let (first, second) = (open(), open());
        assert!(!first.replaced.is_cancelled());
        let third = open();
        assert!(first.replaced.is_cancelled() && !second.replaced.is_cancelled());
        // One that had to give way takes nobody's place with it when it ends.
        drop(first);
        assert_eq!(counts(), (2, 1));
        drop(second);
        let fourth = open();
        assert!(!third.replaced.is_cancelled());
        drop((third, fourth));
        assert_eq!(counts(), (0, 0));
    }
}
