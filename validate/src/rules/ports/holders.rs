//! Who wants which ports of a node.

use std::collections::{BTreeMap, BTreeSet};

use almanac_schemas::{
    JobSpec, RunRole,
    container::{Container, Network, Port},
};
use chrono::{DateTime, TimeDelta, Utc};

use super::Publisher;
use crate::{
    conflict::{self, Claim},
    rules::{Context, Place},
};

/// A node with everybody who wants ports of it.
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) guard: TimeDelta,
    /// In the order of jobs; of each job one.
    pub(super) holders: Vec<Holder<'a>>,
}

/// A container of a job that wants ports of its node.
pub(super) struct Holder<'a> {
    /// Its job, by its position.
    pub(super) job: usize,
    pub(super) role: RunRole,
    /// As they are declared.
    pub(super) ports: &'a [Port],
}

/// Whether a job wants any port at all.
pub(super) fn wants_ports(spec: &JobSpec) -> bool {
    [RunRole::Client, RunRole::Server].into_iter().any(|role| !ports(spec, role).is_empty())
}

/// The nodes on which somebody who may overlap others wants ports, each with everybody who wants any there.
pub(super) fn nodes<'c>(context: &'c Context<'_>, jobs: &[Publisher<'c>]) -> BTreeMap<&'c str, Node<'c>> {
    let mut nodes: BTreeMap<&str, Node<'_>> = BTreeMap::new();
    for (index, publisher) in jobs.iter().enumerate() {
        let spec = &publisher.job.spec;
        for target in context.targets(publisher.job) {
            let (Some(node), ports) = (target.node.and_then(|node| node.manifest), ports(spec, target.role))
            else {
                continue;
            };
            if ports.is_empty() {
                continue;
            }
            let name = node.metadata.name.as_str();
            let node = nodes.entry(name).or_insert_with(|| Node {
                name,
                guard: node.spec.guard.to_delta(),
                holders: Vec::new(),
            });
            // A node that is listed twice, or is client and server at once, is reported elsewhere.
            if node.holders.last().is_none_or(|last| last.job != index) {
                node.holders.push(Holder { job: index, role: target.role, ports });
            }
        }
    }
    nodes.retain(|_, node| node.holders.iter().any(|holder| !jobs[holder.job].job.spec.exclusive));
    nodes
}

/// The ports of its host that a container of a job wants. Without a bridge it listens on its host by itself.
fn ports(spec: &JobSpec, role: RunRole) -> &[Port] {
    let container = match role {
        RunRole::Client => Some(&spec.container),
        RunRole::Server => spec.server.as_ref().map(|server| &server.container),
    };
    match container {
        Some(Container { network: Network::Bridge | Network::Host, ports, .. }) => ports,
        Some(Container { network: Network::None, .. }) | None => &[],
    }
}

/// The ports of nodes that somebody wants.
pub(super) struct Wanted<'a>(BTreeMap<&'a str, BTreeSet<Port>>);

impl<'a> Wanted<'a> {
    pub(super) fn of(nodes: &BTreeMap<&'a str, Node<'a>>) -> Self {
        let all = |node: &Node<'_>| node.holders.iter().flat_map(|holder| holder.ports).copied().collect();
        Self(nodes.iter().map(|(name, node)| (*name, all(node))).collect())
    }

    /// The next port after one that nobody wants on any of some nodes.
    pub(super) fn free_after<'n>(&self, port: Port, nodes: impl Iterator<Item = &'n str>) -> Option<Port> {
        let later = (port.number..=u16::MAX).map(|number| Port { number, ..port });
        let wanted: Vec<_> = nodes.filter_map(|node| self.0.get(node)).collect();
        later.into_iter().find(|port| !wanted.iter().any(|wanted| wanted.contains(port)))
    }
}

impl<'a> Node<'a> {
    /// When each holder has its ports: from its instant until its node is free of it.
    pub(super) fn claims(&self, jobs: &[Publisher<'_>], from: DateTime<Utc>) -> Vec<Claim> {
        let claim = |holder: &Holder<'_>| {
            let schedule = &jobs[holder.job].schedule;
            Claim::new(schedule, self.guard, conflict::Holder::Job, from, schedule.end)
        };
        self.holders.iter().map(claim).collect()
    }

    /// Whether two holders, or the runs of one, get into each other's way if they overlap.
    pub(super) fn share(&self, jobs: &[Publisher<'_>], a: usize, b: usize) -> bool {
        let (a, b) = (&self.holders[a], &self.holders[b]);
        let is_exclusive = |holder: &Holder<'_>| jobs[holder.job].job.spec.exclusive;
        // Two that have their nodes for themselves are in the way of more than a port.
        !(is_exclusive(a) && is_exclusive(b)) && a.shared(b).next().is_some()
    }
}

impl<'a> Holder<'a> {
    /// The ports that another one wants as well.
    pub(super) fn shared<'b>(&'b self, other: &'b Self) -> impl Iterator<Item = Port> + use<'b, 'a> {
        self.ports.iter().copied().filter(|port| other.ports.contains(port))
    }

    /// Where its job asks for a port.
    pub(super) fn place(&self, publisher: &Publisher<'_>, port: Port) -> Place {
        let spec = publisher.place.key("spec");
        let container = match self.role {
            RunRole::Client => spec.key("container"),
            RunRole::Server => spec.key("server").key("container"),
        };
        let index = self.ports.iter().position(|known| *known == port).unwrap_or_default();
        container.key("ports").index(index)
    }
}
