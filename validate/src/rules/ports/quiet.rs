//! What was found to be without a conflict, so that it is not compared again: as with reservations, what holds for one
//! instant holds for every later one, for as long as the same jobs want the same ports.

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::{Schedule, container::Port};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Holder, Node, Publisher};
use crate::conflict::Clash;

/// The nodes without a conflict, by name, as they were in the tree that was checked last.
#[derive(Debug, Default)]
pub(in crate::rules) struct Quiet(BTreeMap<String, Claimed>);

/// All that decides what is found on a node.
#[derive(Debug)]
struct Claimed {
    /// From when on nothing gets in another's way.
    from: DateTime<Utc>,
    guard: TimeDelta,
    holders: Vec<(Arc<Schedule>, bool, Vec<Port>)>,
}

impl Quiet {
    /// Whether it is known that a node has no conflict from an instant on.
    pub(super) fn holds(&self, node: &Node<'_>, jobs: &[Publisher<'_>], from: DateTime<Utc>) -> bool {
        self.0.get(node.name).is_some_and(|known| known.from <= from && known.is_of(node, jobs))
    }

    /// Keeps what is known by now, and nothing of nodes that nobody wants a port of.
    pub(super) fn keep(
        &mut self,
        nodes: &BTreeMap<&str, Node<'_>>,
        jobs: &[Publisher<'_>],
        from: DateTime<Utc>,
        compared: &[(&Node<'_>, Vec<Clash>)],
    ) {
        self.0.retain(|node, _| nodes.contains_key(node.as_str()));
        for (node, clashes) in compared {
            if clashes.is_empty() {
                self.0.insert(node.name.to_owned(), Claimed::new(node, jobs, from));
            } else {
                self.0.remove(node.name);
            }
        }
    }
}

impl Claimed {
    fn new(node: &Node<'_>, jobs: &[Publisher<'_>], from: DateTime<Utc>) -> Self {
        let holder = |holder: &Holder<'_>| {
            let Publisher { job, schedule, .. } = &jobs[holder.job];
            (Arc::clone(schedule), job.spec.exclusive, holder.ports.to_vec())
        };
        Self { from, guard: node.guard, holders: node.holders.iter().map(holder).collect() }
    }

    fn is_of(&self, node: &Node<'_>, jobs: &[Publisher<'_>]) -> bool {
        let same = |(known, holder): (&(Arc<Schedule>, bool, Vec<Port>), &Holder<'_>)| {
            let Publisher { job, schedule, .. } = &jobs[holder.job];
            known.0 == *schedule && known.1 == job.spec.exclusive && known.2 == holder.ports
        };
        self.guard == node.guard
            && self.holders.len() == node.holders.len()
            && self.holders.iter().zip(&node.holders).all(same)
    }
}
