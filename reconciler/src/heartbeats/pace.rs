//! How often nodes are to be heard of: as the testbed declares, or less often where all of them together
//! would be more than the reconciler wants to hear.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use almanac_schemas::{NodeName, config};
use chrono::TimeDelta;

/// How many intervals a node may be silent for, where they are longer than declared, before it is stale.
const STALE: u32 = 3;

/// And before it is offline.
const OFFLINE: u32 = 6;

/// How often nodes are to be heard of, and what a silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The time between two heartbeats of a node.
    pub interval: Duration,
    /// A node that was silent for longer is stale.
    pub stale_after: TimeDelta,
    /// A node that was silent for longer is offline.
    pub offline_after: TimeDelta,
}

impl Pace {
    /// The pace of so many nodes by the testbed's rules, with at most so many heartbeats in a second.
    pub fn of(rules: &config::Heartbeat, nodes: usize, most_per_second: NonZeroU32) -> Self {
        let declared = Duration::from_secs(rules.interval.as_secs());
        let (stale_after, offline_after) = (rules.stale_after.to_delta(), rules.offline_after.to_delta());
        let needed = Duration::from_secs_f64(nodes as f64 / f64::from(most_per_second.get()));
        if needed <= declared {
            return Self { interval: declared, stale_after, offline_after };
        }
        let silence = |intervals| TimeDelta::from_std(needed * intervals).unwrap_or(TimeDelta::MAX);
        Self {
            interval: needed,
            stale_after: stale_after.max(silence(STALE)),
            offline_after: offline_after.max(silence(OFFLINE)),
        }
    }

    /// The time from a node's first heartbeat to its second: a part of the interval that is the node's own.
    /// Nodes that come back together are so heard of one after the other from then on.
    pub fn first(&self, node: &NodeName) -> Duration {
        let mut hasher = DefaultHasher::new();
        node.as_str().hash(&mut hasher);
        let share = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        // Whole milliseconds are few bytes, and none at all would be no word on it.
        Duration::from_millis((self.interval.as_millis() as f64 * share) as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(nodes: usize, most_per_second: u32) -> Pace {
        Pace::of(&config::Heartbeat::default(), nodes, most_per_second.try_into().unwrap())
    }

    #[test]
    fn few_nodes_are_heard_of_as_declared() {
        let expected = Pace {
            interval: Duration::from_secs(30),
            stale_after: TimeDelta::seconds(120),
            offline_after: TimeDelta::seconds(600),
        };
        for nodes in [0, 1, 15_000] {
            assert_eq!(pace(nodes, 500), expected);
        }
    }

    #[test]
    fn many_nodes_are_heard_of_less_often_and_may_be_silent_for_longer() {
        let many = pace(50_000, 500);
        assert_eq!(many.interval, Duration::from_secs(100));
        assert_eq!(
            (many.stale_after, many.offline_after),
            (TimeDelta::seconds(300), TimeDelta::seconds(600))
        );
        let more = pace(1_000, 1);
        assert_eq!(more.interval, Duration::from_secs(1_000));
        assert_eq!(more.stale_after, TimeDelta::seconds(3_000));
        assert_eq!(more.offline_after, TimeDelta::seconds(6_000));
    }

    #[test]
    fn nodes_that_come_back_together_spread() {
        for (nodes, name) in [(10_000, "node-"), (10_000, "surrey-probe-"), (20_000, "n")] {
            let pace = pace(nodes, 500);
            let seconds = 10 * pace.interval.as_secs() as usize;
            let mut heard = vec![0; seconds];
            for node in 0..nodes {
                let mut at = pace.first(&format!("{name}{node}").parse().unwrap());
                assert!(Duration::ZERO < at && at <= pace.interval);
                while let Some(count) = heard.get_mut(at.as_secs() as usize) {
                    *count += 1;
                    at += pace.interval;
                }
            }
            let mean = nodes as f64 / pace.interval.as_secs_f64();
            let most = f64::from(*heard.iter().max().unwrap());
            assert!(most < 1.5 * mean, "{most} in a second, {mean} on average");
        }
    }
}
