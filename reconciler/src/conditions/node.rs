//! How a node is.

use almanac_schemas::{Cordon, NodeName, Scavenging};
use chrono::{DateTime, Utc};

use super::{Condition, ConditionKind, Reason};
use crate::{
    applied::Applied,
    heartbeats::{Clock, Liveness, Pace},
    store::HeartbeatRow,
};

/// The conditions of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConditions {
    /// It is heard of, holds its latest state, and takes runs.
    pub ready: Condition,
    /// It is there, and does not take its latest state.
    pub stalled: Condition,
    /// It is not heard of.
    pub stale: Condition,
    /// Its clock is off.
    pub clock_skewed: Condition,
}

/// What keeps runs off a node, otherwise than its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptOff {
    /// New ones, of whatever job.
    pub cordon: Option<Cordon>,
    /// Those of exclusive jobs: its owner wants its link.
    pub scavenging: Option<Scavenging>,
}

impl NodeConditions {
    /// All of them.
    pub fn all(&self) -> [&Condition; 4] {
        [&self.ready, &self.stalled, &self.stale, &self.clock_skewed]
    }
}

/// The conditions of a node at an instant, given what keeps runs off it then; none when it is not declared.
pub fn node(
    applied: &Applied,
    name: &NodeName,
    heartbeat: Option<&HeartbeatRow>,
    kept_off: &KeptOff,
    pace: &Pace,
    now: DateTime<Utc>,
) -> Option<NodeConditions> {
    let entry = applied.testbed.nodes.get(name)?;
    let wanted = applied.generation(name);
    let wanted_since = applied.generation_since(name);
    let held = heartbeat.filter(|row| *row.held_epoch == *applied.epoch).map_or(0, |row| row.held_generation);
    let stale = stale(heartbeat, pace, applied.declared_since(name), now);
    let lagging = held != wanted;
    let ready = if stale.status {
        (false, stale.reason, stale.message.clone(), stale.since)
    } else if lagging {
        let message = format!("it holds generation {held} of its state, and {wanted} is in force");
        (false, Reason::Lagging, message, wanted_since)
    } else if entry.spec.cordoned {
        (false, Reason::Cordoned, "it is cordoned: no run starts".to_owned(), wanted_since)
    } else if let Some(cordon) = &kept_off.cordon {
        (false, Reason::Cordoned, cordon.to_string(), cordon.since.0)
    } else if let Some(scavenging) = &kept_off.scavenging {
        (false, Reason::Scavenging, format!("no exclusive run starts: {scavenging}"), scavenging.since.0)
    } else {
        (true, Reason::AsDeclared, String::new(), stale.since.max(wanted_since))
    };
    let not_taken = wanted_since + pace.offline_after;
    let stalled = if !stale.status && lagging && now >= not_taken {
        let message = "it is heard of, and does not take its latest state: see its log".to_owned();
        (true, Reason::NotTaken, message, not_taken)
    } else {
        (false, Reason::Progressing, String::new(), stale.since.max(wanted_since))
    };
    let condition =
        |kind, (status, reason, message, since)| Condition { kind, status, reason, message, since };
    Some(NodeConditions {
        ready: condition(ConditionKind::Ready, ready),
        stalled: condition(ConditionKind::Stalled, stalled),
        stale,
        clock_skewed: clock_skewed(heartbeat, applied.declared_since(name)),
    })
}

fn stale(
    heartbeat: Option<&HeartbeatRow>,
    pace: &Pace,
    declared: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Condition {
    let condition = |status, reason, message, since| Condition {
        kind: ConditionKind::Stale,
        status,
        reason,
        message,
        since,
    };
    let Some(heartbeat) = heartbeat else {
        return condition(true, Reason::NeverHeard, "its agent was never heard of".to_owned(), declared);
    };
    match Liveness::of(Some(heartbeat.last_seen), pace, now) {
        Liveness::Online | Liveness::Never => {
            condition(false, Reason::Heard, String::new(), heartbeat.online_since)
        }
        liveness @ (Liveness::Stale | Liveness::Offline) => {
            let word = if liveness == Liveness::Offline { "offline" } else { "silent" };
            let message =
                format!("{word}: last heard of at {}", almanac_schemas::Instant(heartbeat.last_seen));
            condition(true, Reason::Silent, message, heartbeat.last_seen + pace.stale_after)
        }
    }
}

fn clock_skewed(heartbeat: Option<&HeartbeatRow>, declared: DateTime<Utc>) -> Condition {
    let measured = heartbeat.and_then(|heartbeat| Some((heartbeat.clock?, heartbeat.online_since)));
    let (status, reason, message, since) = match measured {
        None => (false, Reason::NotMeasured, String::new(), declared),
        Some((Clock { off_since: None, .. }, online)) => (false, Reason::InStep, String::new(), online),
        Some((Clock { offset, off_since: Some(since) }, _)) => {
            let message = format!("its clock is {offset}: set it by NTP");
            (true, Reason::OffsetTooLarge, message, since.0)
        }
    };
    Condition { kind: ConditionKind::ClockSkewed, status, reason, message, since }
}
