//! `kind: Job`: an experiment that runs on nodes at declared instants.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Duration, JobName, NodeName, Size, UserName,
    container::Container,
    manifest::{Envelope, Metadata, constant_kind},
    node::Labels,
    schedule::ScheduleSpec,
};

constant_kind!(
    /// The word `Job`.
    JobKind, Job
);

/// An experiment that runs on nodes at declared instants.
pub type Job = Envelope<JobKind, Metadata<JobName>, JobSpec>;

/// What runs, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JobSpec {
    /// The user whose job it is.
    pub owner: UserName,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The nodes it runs on. Exactly one of `nodes` and `nodeSelector` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeName>>,
    /// It runs on every node that carries all of these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Labels>,
    /// When it runs.
    pub schedule: ScheduleSpec,
    /// Whether a run has its nodes for itself. If not, it may overlap anything.
    #[serde(default = "default_exclusive")]
    pub exclusive: bool,
    /// A condition that must hold for a run to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// What runs.
    pub container: Container,
    /// A peer on another node that must be up before the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Kernel settings of the run. Its owner must be privileged or admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelSettings>,
    /// Anything the experiment wants: mounted read-only as `/almanac/config.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
    /// What is kept of a run.
    #[serde(default)]
    pub artifacts: Artifacts,
    /// What becomes of a run that goes on when the job is removed.
    #[serde(default, skip_serializing_if = "OnRemove::is_finish")]
    pub on_remove: OnRemove,
}

/// What becomes of a run that goes on when its job is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnRemove {
    /// It goes on to its end.
    #[default]
    Finish,
    /// It is stopped.
    Abort,
}

impl OnRemove {
    fn is_finish(&self) -> bool {
        *self == Self::Finish
    }
}

const fn default_exclusive() -> bool {
    true
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets<'a> {
    /// On these nodes.
    Nodes(&'a [NodeName]),
    /// On every node that carries these labels.
    Selector(&'a Labels),
}

impl Targets<'_> {
    /// Whether a node with these labels is one of them.
    pub fn contains(&self, name: &NodeName, labels: &Labels) -> bool {
        match self {
            Self::Nodes(names) => names.contains(name),
            Self::Selector(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
        }
    }
}

/// Why it is not certain where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetsError {
    /// Neither field is given, or the one that is given is empty.
    #[error("a job needs `nodes` or a `nodeSelector` with at least one entry")]
    None,
    /// Both fields are given.
    #[error("a job has either `nodes` or a `nodeSelector`, not both")]
    Both,
}

impl JobSpec {
    /// Where it runs.
    ///
    /// # Errors
    ///
    /// When not exactly one of `nodes` and `nodeSelector` is given, with at least one entry.
    pub fn targets(&self) -> Result<Targets<'_>, TargetsError> {
        match (&self.nodes, &self.node_selector) {
            (Some(_), Some(_)) => Err(TargetsError::Both),
            (Some(nodes), None) if !nodes.is_empty() => Ok(Targets::Nodes(nodes)),
            (None, Some(labels)) if !labels.is_empty() => Ok(Targets::Selector(labels)),
            _ => Err(TargetsError::None),
        }
    }
}

/// A condition over the node's live telemetry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Trigger {
    /// An expression in CEL, such as `dish.pop_ping_latency_ms > 60.0`.
    pub when: String,
    /// How long a run waits for it to become true.
    #[serde(default = "no_time")]
    pub wait: Duration,
}

const fn no_time() -> Duration {
    Duration::ZERO
}

/// A peer on another node that is up before a run starts and stops after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Server {
    /// The node it runs on.
    pub node: NodeName,
    /// What runs there.
    pub container: Container,
    /// How its readiness shows.
    #[serde(default)]
    pub ready: Ready,
}

/// How a server's readiness shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ready {
    /// It accepts connections on this TCP port. At most one of `tcp`, `log` and `exec` is given; without any it is ready
    /// when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u16>,
    /// A line of its output matches this regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// This command, run in its container again and again, ends with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// How long it may take, counted from when the run is to begin.
    #[serde(default = "default_ready_timeout")]
    pub timeout: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Self { tcp: None, log: None, exec: None, timeout: default_ready_timeout() }
    }
}

fn default_ready_timeout() -> Duration {
    Duration::from_secs(60)
}

/// Kernel settings of a run. Each must be allowed by every node that the job runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KernelSettings {
    /// Sysctls of the container's own network namespace and their values, such as `net.ipv4.tcp_congestion_control`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Files of the host below `/sys` and `/proc/sys`, by absolute path, and their values. They are put back when the run
    /// ends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// What is kept of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Artifacts {
    /// The folder in the container whose files are kept.
    #[serde(default = "default_artifacts_path")]
    pub path: String,
    /// The most that a run may leave there; the node's limit holds in any case. Where neither is given, 10 GiB. A run
    /// that goes beyond it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// How long they are kept. Absent: as the testbed's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
}

impl Artifacts {
    /// The most that a run may leave where nobody says: a sparse file may be larger than any disk.
    pub const MOST: Size = Size::from_bytes(10 << 30);
}

impl Default for Artifacts {
    fn default() -> Self {
        Self { path: default_artifacts_path(), max_size: None, retention: None }
    }
}

fn default_artifacts_path() -> String {
    "/artifacts".to_owned()
}
