//! What a node should do, as the protocol says it.

use std::collections::BTreeMap;

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{JobName, NodeName, RunRole};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::applied::Applied;

/// The snapshot of a node, or none when the node is not declared.
pub fn snapshot(applied: &Applied, node: &NodeName, now: DateTime<Utc>) -> Option<v1::Snapshot> {
    let entry = applied.testbed.nodes.get(node)?;
    let v1::Renewal { valid_until, server_time } = renewal(applied, now);
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
            clients: if assigned.role == RunRole::Server {
                clients(applied, &assigned.job)
            } else {
                Vec::new()
            },
        });
    }
    Some(v1::Snapshot {
        epoch: applied.epoch.to_string(),
        generation: applied.generation(node),
        commit: applied.commit().unwrap_or_default().to_owned(),
        valid_until,
        server_time,
        node_spec: json(&entry.spec),
        assignments,
        network: applied.testbed.config.network.docker.clone(),
    })
}

/// The nodes that a job's server has clients on.
fn clients(applied: &Applied, job: &JobName) -> Vec<String> {
    let places = applied.placements.get(job).into_iter().flatten();
    places.filter(|(_, role)| *role == RunRole::Client).map(|(node, _)| node.to_string()).collect()
}

/// For how long a snapshot is valid from now on that says what is in force.
pub fn renewal(applied: &Applied, now: DateTime<Utc>) -> v1::Renewal {
    let offline_for = applied.testbed.config.nodes.offline_for.to_delta();
    v1::Renewal { valid_until: Some(timestamp(now + offline_for)), server_time: Some(timestamp(now)) }
}

/// A spec as the protocol carries it.
pub fn json(spec: &impl Serialize) -> String {
    serde_json::to_string(spec).expect("specs have text keys and no failing fields")
}
