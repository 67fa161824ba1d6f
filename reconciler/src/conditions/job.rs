//! How a job is.

use almanac_schemas::{JobName, NodeName};
use chrono::{DateTime, Utc};

use super::{Condition, ConditionKind, NodeConditions, Reason};
use crate::{applied::Applied, heartbeats::Hindrance};

/// The conditions of a job at an instant, given those of its nodes, why its next run will not start there, and whether one
/// that was moved is still to come; none when it is not declared.
pub fn job(
    applied: &Applied,
    name: &JobName,
    node: impl Fn(&NodeName) -> Option<NodeConditions>,
    hindrance: impl Fn(&NodeName) -> Option<Hindrance>,
    moved: bool,
    now: DateTime<Utc>,
) -> Option<[Condition; 3]> {
    let spec = applied.testbed.jobs.get(name)?;
    let declared = applied.origins.get(name).map_or(now, |origin| origin.updated_at);
    let places = applied.placements.get(name).into_iter().flatten();
    let nodes: Vec<(&NodeName, NodeConditions)> =
        places.filter_map(|(place, _)| Some((place, node(place)?))).collect();
    let schedule = spec.schedule.resolve().ok();
    let ended =
        schedule.filter(|schedule| !moved && schedule.next(now).is_none()).map(|schedule| schedule.end);

    // A node's owner who wants its link has nothing against jobs that share it.
    let takes = |node: &NodeConditions| {
        node.ready.status || !spec.exclusive && matches!(node.ready.reason, Reason::Scavenging)
    };
    let unready: Vec<_> = nodes.iter().filter(|(_, node)| !takes(node)).collect();
    let unheld: Vec<_> = unready
        .iter()
        .filter(|(_, node)| matches!(node.ready.reason, Reason::Lagging) || node.stale.status)
        .collect();
    let first = |times: &mut dyn Iterator<Item = DateTime<Utc>>| times.min().unwrap_or(declared);

    let ready = if let Some(end) = ended {
        (false, Reason::Ended, "its schedule has no run left".to_owned(), end.min(now).max(declared))
    } else if nodes.is_empty() {
        (false, Reason::NoNodes, "no declared node matches it".to_owned(), declared)
    } else if let Some((place, hindrance)) =
        nodes.iter().find_map(|(place, _)| Some((place, hindrance(place)?)))
    {
        let Hindrance { scheduled_at, message, .. } = hindrance;
        let message = format!("it will not run on `{place}` at {scheduled_at}: {message}");
        (false, Reason::Hindered, message, declared)
    } else if unready.is_empty() {
        let since = nodes.iter().map(|(_, node)| node.ready.since).max().unwrap_or(declared);
        (true, Reason::AsDeclared, String::new(), since.max(declared))
    } else {
        let since = first(&mut unready.iter().map(|(_, node)| node.ready.since));
        let message = told(&nodes, unready.iter().map(|(name, node)| (*name, &node.ready)));
        (false, Reason::NodesNotReady, message, since)
    };
    let stalled = match ready.1 {
        reason @ (Reason::Ended | Reason::NoNodes) => (true, reason, ready.2.clone(), ready.3),
        _ => (false, Reason::Progressing, String::new(), declared),
    };
    let stale = if unheld.is_empty() {
        (false, Reason::AsDeclared, String::new(), declared)
    } else {
        let since = first(&mut unheld.iter().map(|(_, node)| node.ready.since));
        let message = told(&nodes, unheld.iter().map(|(name, node)| (*name, &node.ready)));
        (true, Reason::Lagging, message, since.max(declared))
    };
    let condition =
        |kind, (status, reason, message, since)| Condition { kind, status, reason, message, since };
    Some([
        condition(ConditionKind::Ready, ready),
        condition(ConditionKind::Stalled, stalled),
        condition(ConditionKind::Stale, stale),
    ])
}

/// How many nodes are named in a text for people.
const NAMED: usize = 3;

fn told<'a>(
    nodes: &[(&NodeName, NodeConditions)],
    unready: impl Iterator<Item = (&'a NodeName, &'a Condition)> + Clone,
) -> String {
    let count = unready.clone().count();
    let named: Vec<String> =
        unready.take(NAMED).map(|(name, condition)| format!("`{name}`: {}", condition.message)).collect();
    let more = if count > NAMED { format!("; and {} more", count - NAMED) } else { String::new() };
    format!("{count} of {} nodes: {}{more}", nodes.len(), named.join("; "))
}
