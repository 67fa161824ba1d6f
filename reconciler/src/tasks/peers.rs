//! Where the servers of a node's jobs are reached.

use std::collections::{BTreeMap, BTreeSet};

use almanac_proto::v1;
use almanac_schemas::{NodeName, RunRole};

use crate::{applied::Applied, heartbeats::Heartbeats};

/// The nodes that a node's jobs have servers on, each with its address; empty where nobody knows it.
pub type Peers = BTreeMap<NodeName, String>;

/// The peers of a node.
pub(super) fn of(applied: &Applied, heartbeats: &Heartbeats, node: &NodeName) -> Peers {
    let parts = applied.assignments.get(node).into_iter().flatten();
    let clients = parts.filter(|part| part.role == RunRole::Client);
    let servers = clients.filter_map(|part| applied.testbed.jobs.get(&part.job)?.server.as_ref());
    servers.map(|server| (server.node.clone(), address(applied, heartbeats, &server.node))).collect()
}

/// Where a node is reached: as its manifest says, or else its agent; empty where neither says anything.
pub fn address(applied: &Applied, heartbeats: &Heartbeats, node: &NodeName) -> String {
    let declared = applied.testbed.nodes.get(node).and_then(|entry| entry.spec.address.as_ref());
    let reported = || heartbeats.get(node).map(|row| row.address).unwrap_or_default();
    declared.map_or_else(reported, ToString::to_string)
}

/// Where all nodes are reached that have servers.
pub(super) fn all(applied: &Applied, heartbeats: &Heartbeats) -> Peers {
    let jobs = applied.testbed.jobs.values();
    let servers: BTreeSet<&NodeName> =
        jobs.filter_map(|spec| spec.server.as_ref()).map(|server| &server.node).collect();
    servers.into_iter().map(|node| (node.clone(), address(applied, heartbeats, node))).collect()
}

/// As the protocol says it.
pub(super) fn message(peers: &Peers) -> Vec<v1::Peer> {
    let peer =
        |(node, address): (&NodeName, &String)| v1::Peer { node: node.to_string(), address: address.clone() };
    peers.iter().map(peer).collect()
}
