//! What is in force: the testbed of the last good commit, and what follows from it.
//!
//! It is immutable and shared. Applying a commit makes the next one from it, as plain values; the
//! store writes what differs, and only then it is published.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use almanac_schemas::{JobName, JobSpec, NodeName, PrincipalName, PublicKey, RunRole};
use almanac_validate::{
    Testbed,
    plan::{Edit, Plan},
};
use chrono::{DateTime, Utc};

/// What is in force.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Identifies the database.
    pub epoch: Arc<str>,
    /// The sync that put it in force; none before the first.
    pub sync: Option<AppliedSync>,
    /// What is declared.
    pub testbed: Arc<Testbed>,
    /// Where each job comes from.
    pub origins: BTreeMap<JobName, JobOrigin>,
    /// Who runs what, by node. Nodes without an assignment have no entry.
    pub assignments: BTreeMap<NodeName, Vec<Assigned>>,
    /// Where each job runs: clients in the order of nodes, then the server.
    pub placements: BTreeMap<JobName, Vec<(NodeName, RunRole)>>,
    /// The generation of each node that ever was.
    pub generations: BTreeMap<NodeName, u64>,
    /// Since when each node has its generation.
    pub generations_since: BTreeMap<NodeName, DateTime<Utc>>,
    /// Since when each node is declared.
    pub declared_since: BTreeMap<NodeName, DateTime<Utc>>,
    /// The declared keys.
    pub keys: KeyIndex,
}

/// The sync that put something in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedSync {
    /// Its number.
    pub id: i64,
    /// Its commit.
    pub commit: String,
    /// When it was put in force.
    pub at: DateTime<Utc>,
}

/// Where a job comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOrigin {
    /// The commit that declared it as it is.
    pub commit: String,
    /// When it was first declared.
    pub created_at: DateTime<Utc>,
    /// When it became what it is.
    pub updated_at: DateTime<Utc>,
}

/// A part of a job that runs on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Assigned {
    /// The job.
    pub job: JobName,
    /// Which of its containers.
    pub role: RunRole,
    /// Since when it runs there by its schedule as it is.
    pub since: DateTime<Utc>,
}

/// A new testbed, ready to be written and then published.
#[derive(Debug)]
pub struct Next {
    /// What will be in force. Its sync is not known before it is written.
    pub applied: Applied,
    /// Assignments that are new or run by another schedule.
    pub put: Vec<(NodeName, Assigned)>,
    /// Assignments that are no more.
    pub gone: Vec<(NodeName, JobName, RunRole)>,
    /// The nodes whose desired state changes: exactly those get a new generation.
    pub touched: BTreeSet<NodeName>,
    /// The nodes whose generation is to be written again.
    pub restored: BTreeSet<NodeName>,
    /// Whether the settings are to be written again.
    pub config: bool,
    /// The times of moved runs that are not declared any more, by their numbers.
    pub released: Vec<i64>,
}

impl Applied {
    /// What is in force in a new database.
    pub fn nothing(epoch: Arc<str>) -> Self {
        Self {
            epoch,
            sync: None,
            testbed: Arc::new(Testbed::empty()),
            origins: BTreeMap::new(),
            assignments: BTreeMap::new(),
            placements: BTreeMap::new(),
            generations: BTreeMap::new(),
            generations_since: BTreeMap::new(),
            declared_since: BTreeMap::new(),
            keys: KeyIndex::default(),
        }
    }

    /// The commit in force.
    pub fn commit(&self) -> Option<&str> {
        self.sync.as_ref().map(|sync| sync.commit.as_str())
    }

    /// The generation of a node.
    pub fn generation(&self, node: &NodeName) -> u64 {
        self.generations.get(node).copied().unwrap_or(0)
    }

    /// Since when a node has its generation.
    pub fn generation_since(&self, node: &NodeName) -> DateTime<Utc> {
        self.generations_since.get(node).copied().unwrap_or_default()
    }

    /// Since when a node is declared.
    pub fn declared_since(&self, node: &NodeName) -> DateTime<Utc> {
        self.declared_since.get(node).copied().unwrap_or_default()
    }

    /// Raises the generations to those that were published: they never shrink, whatever happened to
    /// the database. Says which were lower.
    pub fn raise(&mut self, published: &Self) -> BTreeSet<NodeName> {
        let mut raised = BTreeSet::new();
        for (node, generation) in &published.generations {
            let mine = self.generations.entry(node.clone()).or_default();
            if *mine < *generation {
                *mine = *generation;
                self.generations_since.insert(node.clone(), published.generation_since(node));
                raised.insert(node.clone());
            }
        }
        raised
    }

    /// What follows when a commit with another testbed is put in force. `plan` leads from the
    /// testbed in force to the new one; what it does not touch stays as it is.
    pub fn next(&self, testbed: &Arc<Testbed>, plan: &Plan<'_>, commit: &str, now: DateTime<Utc>) -> Next {
        self.next_with(testbed, plan, &BTreeSet::new(), commit, now)
    }

    /// The same, where assignments of `lost` jobs are missing here though these jobs are in force.
    pub fn next_with(
        &self,
        testbed: &Arc<Testbed>,
        plan: &Plan<'_>,
        lost: &BTreeSet<JobName>,
        commit: &str,
        now: DateTime<Utc>,
    ) -> Next {
        let mut assignments = self.assignments.clone();
        let mut placements = self.placements.clone();
        let (mut put, mut gone, mut touched) = (Vec::new(), Vec::new(), self.touched_nodes(plan));
        for (job, edit) in moved(testbed, plan, lost) {
            let rescheduled =
                edit.is_some_and(|edit| !matches!(edit, Edit::Changed(a, b) if a.schedule == b.schedule));
            let before = placements.remove(job).unwrap_or_default();
            let spec = testbed.jobs.get(job);
            let after: Vec<(NodeName, RunRole)> = spec
                .into_iter()
                .flat_map(|spec| testbed.places(spec).map(|(node, role)| (node.clone(), role)))
                .collect();
            if edit.is_some() {
                touched.extend(before.iter().chain(&after).map(|(node, _)| node.clone()));
            }
            let known_before = before.len();
            let mut since = BTreeMap::new();
            for (node, role) in before {
                if let Some(parts) = assignments.get_mut(&node) {
                    for part in parts.extract_if(.., |part| part.job == *job && part.role == role) {
                        since.insert((node.clone(), role), part.since);
                    }
                }
            }
            for (node, role) in &after {
                let known = since.remove(&(node.clone(), *role)).filter(|_| !rescheduled);
                let part = Assigned { job: job.clone(), role: *role, since: known.unwrap_or(now) };
                if known.is_none() {
                    put.push((node.clone(), part.clone()));
                }
                let parts = assignments.entry(node.clone()).or_default();
                let place = parts.partition_point(|other| (&other.job, other.role) <= (job, *role));
                parts.insert(place, part);
            }
            if !since.is_empty() || after.len() != known_before {
                // A server is made ready ahead for each of its clients.
                let servers = after.iter().filter(|(_, role)| *role == RunRole::Server);
                touched.extend(servers.map(|(node, _)| node.clone()));
            }
            gone.extend(since.into_keys().map(|(node, role)| (node, job.clone(), role)));
            if !after.is_empty() {
                placements.insert(job.clone(), after);
            }
        }
        assignments.retain(|_, parts| !parts.is_empty());
        touched.extend(put.iter().map(|(node, _)| node.clone()));
        touched.extend(gone.iter().map(|(node, ..)| node.clone()));
        let mut generations = self.generations.clone();
        let mut generations_since = self.generations_since.clone();
        for node in &touched {
            *generations.entry(node.clone()).or_default() += 1;
            generations_since.insert(node.clone(), now);
        }
        let same_keys = plan.users.is_empty() && plan.nodes.is_empty();
        let applied = Self {
            epoch: Arc::clone(&self.epoch),
            sync: None,
            testbed: Arc::clone(testbed),
            origins: self.origins_after(plan, commit, now),
            placements,
            keys: if same_keys { self.keys.clone() } else { KeyIndex::of(testbed) },
            assignments,
            generations,
            generations_since,
            declared_since: self.declared_after(plan, now),
        };
        Next { applied, put, gone, touched, restored: BTreeSet::new(), config: false, released: Vec::new() }
    }

    /// The nodes whose own spec differs, or all of them when the testbed's part of their desired state does.
    fn touched_nodes(&self, plan: &Plan<'_>) -> BTreeSet<NodeName> {
        let changed = plan
            .nodes
            .iter()
            .filter(|change| !matches!(change.edit, Edit::Changed(a, b) if a.spec == b.spec));
        let mut touched: BTreeSet<NodeName> = changed.map(|change| change.name.clone()).collect();
        if plan
            .config
            .is_some_and(|(before, after)| before.network != after.network || before.nodes != after.nodes)
        {
            touched.extend(self.testbed.nodes.keys().cloned());
        }
        touched
    }

    /// A node that comes back is another one of the same name.
    fn declared_after(&self, plan: &Plan<'_>, now: DateTime<Utc>) -> BTreeMap<NodeName, DateTime<Utc>> {
        let mut declared = self.declared_since.clone();
        for change in &plan.nodes {
            match change.edit {
                Edit::Added(_) => _ = declared.insert(change.name.clone(), now),
                Edit::Changed(..) => {}
                Edit::Removed(_) => _ = declared.remove(change.name),
            }
        }
        declared
    }

    fn origins_after(
        &self,
        plan: &Plan<'_>,
        commit: &str,
        now: DateTime<Utc>,
    ) -> BTreeMap<JobName, JobOrigin> {
        let mut origins = self.origins.clone();
        for change in &plan.jobs {
            if matches!(change.edit, Edit::Removed(_)) {
                origins.remove(change.name);
                continue;
            }
            let created_at = origins.get(change.name).map_or(now, |origin| origin.created_at);
            let origin = JobOrigin { commit: commit.to_owned(), created_at, updated_at: now };
            origins.insert(change.name.clone(), origin);
        }
        origins
    }
}

impl Next {
    /// How many rows differ from the commit in force though what they declare does not: assignments,
    /// generations, and settings that cannot be read.
    pub fn differing(&self) -> usize {
        self.put.len() + self.gone.len() + self.restored.len() + usize::from(self.config)
    }
}

/// The jobs that may run elsewhere, or by another schedule: those that a plan changes, with how, and those
/// that select their nodes when the labels of nodes differ; and those whose assignments were lost.
fn moved<'a>(
    testbed: &'a Testbed,
    plan: &Plan<'a>,
    lost: &'a BTreeSet<JobName>,
) -> BTreeMap<&'a JobName, Option<Edit<'a, JobSpec>>> {
    let relabelled =
        plan.nodes.iter().any(|change| !matches!(change.edit, Edit::Changed(a, b) if a.labels == b.labels));
    let selecting = testbed.jobs.iter().filter(|(_, spec)| relabelled && spec.node_selector.is_some());
    let mut moved: BTreeMap<_, _> = selecting.map(|(name, _)| (name, None)).collect();
    moved.extend(lost.iter().map(|name| (name, None)));
    moved.extend(plan.jobs.iter().map(|change| (change.name, Some(change.edit))));
    moved
}

/// Where each job runs.
pub(crate) fn placements(testbed: &Testbed) -> BTreeMap<JobName, Vec<(NodeName, RunRole)>> {
    let mut placements: BTreeMap<JobName, Vec<(NodeName, RunRole)>> = BTreeMap::new();
    for assignment in testbed.assignments() {
        let place = (assignment.node.clone(), assignment.role);
        placements.entry(assignment.job.clone()).or_default().push(place);
    }
    placements
}

/// The declared keys by fingerprint, with those whose keys they are.
#[derive(Debug, Clone, Default)]
pub struct KeyIndex(Arc<HashMap<String, DeclaredKey>>);

/// A declared key.
#[derive(Debug, Clone)]
pub struct DeclaredKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is.
    pub principals: Vec<PrincipalName>,
}

impl KeyIndex {
    /// The keys that a testbed declares.
    pub fn of(testbed: &Testbed) -> Self {
        let users = testbed.users.iter().map(|(name, spec)| (PrincipalName::from(name.clone()), &spec.keys));
        let nodes =
            testbed.nodes.iter().map(|(name, node)| (PrincipalName::from(name.clone()), &node.spec.keys));
        let mut index: HashMap<String, DeclaredKey> = HashMap::new();
        for (principal, keys) in users.chain(nodes) {
            for key in keys {
                let entry = index
                    .entry(key.fingerprint())
                    .or_insert_with(|| DeclaredKey { key: key.clone(), principals: Vec::new() });
                entry.principals.push(principal.clone());
            }
        }
        Self(Arc::new(index))
    }

    /// The key with a fingerprint.
    pub fn get(&self, fingerprint: &str) -> Option<&DeclaredKey> {
        self.0.get(fingerprint)
    }
}
