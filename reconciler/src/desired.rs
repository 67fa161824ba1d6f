//! What a node should do, as the protocol says it.

use std::collections::BTreeMap;

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::NodeName;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::applied::Applied;

/// How long a node may go on by a snapshot without hearing from the reconciler.
pub const VALIDITY: TimeDelta = TimeDelta::days(7);

/// The snapshot of a node, or none when the node is not declared.
pub fn snapshot(applied: &Applied, node: &NodeName, now: DateTime<Utc>) -> Option<v1::Snapshot> {
    let entry = applied.testbed.nodes.get(node)?;
    let mut specs: BTreeMap<_, String> = BTreeMap::new();
    let mut assignments = Vec::new();
    for assigned in applied.assignments.get(node).into_iter().flatten() {
        let Some(spec) = applied.testbed.jobs.get(&assigned.job) else { continue };
        let job_spec = specs.entry(&assigned.job).or_insert_with(|| json(spec)).clone();
        assignments.push(v1::Assignment {
            job: assigned.job.to_string(),
            role: v1::Role::from(assigned.role).into(),
            job_spec,
            since: Some(timestamp(assigned.since)),
        });
    }
    Some(v1::Snapshot {
        epoch: applied.epoch.to_string(),
        generation: applied.generation(node),
        commit: applied.commit().unwrap_or_default().to_owned(),
        valid_until: Some(timestamp(now + VALIDITY)),
        server_time: Some(timestamp(now)),
        node_spec: json(&entry.spec),
        assignments,
        network: applied.testbed.config.network.docker.clone(),
    })
}

/// A spec as the protocol carries it.
pub fn json(spec: &impl Serialize) -> String {
    serde_json::to_string(spec).expect("specs have text keys and no failing fields")
}
