//! A checked testbed: what the manifests of a tree without errors declare.

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::{
    JobName, JobSpec, Node, NodeName, NodeSpec, RunRole, UserName, UserSpec, config::ConfigSpec,
    job::Targets, node::Labels,
};

/// Everything that is declared, by name. Specs are shared, so that a testbed costs little to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Testbed {
    /// The users.
    pub users: BTreeMap<UserName, Arc<UserSpec>>,
    /// The nodes.
    pub nodes: BTreeMap<NodeName, NodeEntry>,
    /// The jobs.
    pub jobs: BTreeMap<JobName, Arc<JobSpec>>,
    /// The settings; defaults when none are declared.
    pub config: Arc<ConfigSpec>,
}

/// A node: what jobs select it by, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeEntry {
    /// What a job's `nodeSelector` selects by.
    pub labels: Labels,
    /// What the node is.
    pub spec: Arc<NodeSpec>,
}

/// A job's part on one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assignment<'a> {
    /// The job.
    pub job: &'a JobName,
    /// What it does.
    pub spec: &'a JobSpec,
    /// The node.
    pub node: &'a NodeName,
    /// Which of the job's containers runs there.
    pub role: RunRole,
}

impl NodeEntry {
    pub(crate) fn of(node: &Node) -> Self {
        Self { labels: node.metadata.labels.clone(), spec: Arc::clone(&node.spec) }
    }
}

impl Testbed {
    /// A testbed in which nothing is declared.
    pub fn empty() -> Self {
        Self { users: BTreeMap::new(), nodes: BTreeMap::new(), jobs: BTreeMap::new(), config: Arc::default() }
    }

    /// Every job on every node that it needs, with selectors resolved, in the order of jobs and then
    /// nodes, a job's server last.
    pub fn assignments(&self) -> impl Iterator<Item = Assignment<'_>> {
        self.jobs.iter().flat_map(move |(job, spec)| {
            self.places(spec).map(move |(node, role)| Assignment { job, spec, node, role })
        })
    }

    /// Every node that a job needs, its server's last.
    pub fn places<'a>(&'a self, spec: &'a JobSpec) -> impl Iterator<Item = (&'a NodeName, RunRole)> {
        let server = spec.server.as_ref().map(|server| (&server.node, RunRole::Server));
        self.clients(spec).map(|node| (node, RunRole::Client)).chain(server)
    }

    /// The nodes that a job's clients run on, in the order of their names.
    pub fn clients<'a>(&'a self, spec: &'a JobSpec) -> impl Iterator<Item = &'a NodeName> {
        // A selector may match any node; a list is looked up, so that a short list in a large
        // testbed does not cost a pass over all nodes.
        let (mut listed, selector) = match spec.targets() {
            Ok(Targets::Nodes(names)) => (names.iter().collect(), None),
            Ok(Targets::Selector(_)) => (Vec::new(), spec.targets().ok()),
            Err(_) => (Vec::new(), None),
        };
        listed.sort_unstable();
        let selected = selector.into_iter().flat_map(move |targets| {
            self.nodes.iter().filter(move |(name, node)| targets.contains(name, &node.labels))
        });
        listed.into_iter().chain(selected.map(|(name, _)| name))
    }
}
