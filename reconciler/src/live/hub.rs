//! Who watches what which node measures, and what was heard of each last.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use almanac_proto::reading::Reading;
use almanac_schemas::{NodeName, trigger::Provider};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{
    audience::{Audience, Full, Seat, Subject},
    logs::{letters::Letter, post::Post},
};

/// How many messages of a node a watcher may be behind. At six providers once a second that is ten seconds; one that
/// reads more slowly goes on with what is new.
const BEHIND: usize = 64;

/// The nodes that are to send what they measure.
pub type Wanted = BTreeSet<NodeName>;

/// What was measured last, by provider.
pub type Latest = BTreeMap<Provider, Reading>;

/// What a node said at once; nothing when it only says that it is there.
pub type News = Arc<[Reading]>;

/// Who watches which node.
pub type Live = Audience<Measuring>;

/// A node that somebody watches.
#[derive(Debug)]
pub struct Measuring {
    /// Whether it was heard of since somebody watches.
    is_heard: bool,
    news: broadcast::Sender<News>,
}

/// Somebody who watches a node, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// What the node says from now on.
    pub news: broadcast::Receiver<News>,
    /// Whether it was heard of already, for somebody else.
    pub is_heard: bool,
    _seat: Seat<Measuring>,
}

impl Live {
    /// Somebody begins to watch a node.
    ///
    /// # Errors
    ///
    /// When too many do.
    pub fn watch(&self, node: &NodeName, caller: &str) -> Result<Watching, Full> {
        let look = |node: &Measuring| (node.news.subscribe(), node.is_heard);
        let (seat, (news, is_heard)) = self.join(node.clone(), caller, Measuring::new, look)?;
        Ok(Watching { news, is_heard, _seat: seat })
    }

    /// What was heard last of a node.
    pub fn latest(&self, node: &NodeName) -> Latest {
        self.remembered(|latest| latest.get(node).cloned().unwrap_or_default())
    }

    /// A node said something, on its stream to this reconciler.
    pub fn said(&self, node: &NodeName, readings: Vec<Reading>) {
        if let Some(news) = self.hear(node, readings)
            && self.is_watched_elsewhere(node)
            && let Some(post) = self.post()
        {
            post.tell_telemetry(node, &news);
        }
    }

    /// Another reconciler says what a node said there.
    pub fn said_elsewhere(&self, node: &NodeName, reading: Option<Reading>) {
        self.hear(node, reading.into_iter().collect());
    }

    /// Passes on what a node said to those who watch here; none when nobody watches.
    fn hear(&self, node: &NodeName, readings: Vec<Reading>) -> Option<News> {
        self.with(node, |measuring, latest| {
            measuring.is_heard = true;
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
            let _ = measuring.news.send(Arc::clone(&news));
            news
        })
    }

    /// Somebody watches a node at another reconciler.
    pub fn wanted_elsewhere(&self, node: &NodeName, replica: Uuid) {
        if self.join_elsewhere(node.clone(), replica, Measuring::new)
            && self.with(node, |measuring, _| measuring.is_heard).unwrap_or(false)
            && let Some(post) = self.post()
        {
            // The node has said it already and does not say it again.
            post.tell_telemetry(node, &self.latest(node).into_values().collect::<Vec<_>>());
        }
    }
}

impl Measuring {
    fn new() -> Self {
        Self { is_heard: false, news: broadcast::Sender::new(BEHIND) }
    }
}

impl Subject for Measuring {
    type Key = NodeName;
    type Wanted = Wanted;
    /// What was heard last of each node that anybody ever watched.
    type Memory = HashMap<NodeName, Latest>;
    const MANY: &'static str = "nodes";

    fn wanted<'a>(watched: impl Iterator<Item = (&'a NodeName, &'a Self)>) -> Wanted {
        watched.map(|(node, _)| node.clone()).collect()
    }

    fn want(&self, node: &NodeName, post: &Post) -> Letter {
        post.want_telemetry(node)
    }

    fn done(node: &NodeName, post: &Post) -> Letter {
        post.done_telemetry(node)
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

    #[test]
    fn what_a_node_says_for_another_reconciler_is_heard_here_too() {
        let live = Live::new(None);
        live.wanted_elsewhere(&node(), Uuid::nil());
        assert!(wanted(&live));
        live.said(&node(), vec![reading(Some(61.0))]);
        assert!(live.watch(&node(), "alice").unwrap().is_heard);
        live.leave_elsewhere(&node(), Uuid::nil());
        assert!(!wanted(&live));
    }
}
