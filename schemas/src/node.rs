//! `kind: Node`: a host that runs an agent.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Cron, Duration, NodeName, PublicKey, Schedule, Size, TeamName, Timezone, UserName,
    manifest::{Envelope, constant_kind},
    schedule::Timing,
};

constant_kind!(
    /// The word `Node`.
    NodeKind, Node
);

/// A host that runs an agent.
pub type Node = Envelope<NodeKind, NodeMetadata, NodeSpec>;

/// Labels: what a job's `nodeSelector` selects by.
pub type Labels = BTreeMap<String, String>;

/// What identifies a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeMetadata {
    /// Its name. Users and nodes share one namespace.
    pub name: NodeName,
    /// What a job's `nodeSelector` selects by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
}

/// What a node is and what may run there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeSpec {
    /// The name that people know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Anything worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The user who may cordon and drain it and set scavenger mode.
    pub owner: UserName,
    /// Whether jobs may change kernel settings.
    #[serde(default)]
    pub role: NodeRole,
    /// Where it stands, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Where it stands, in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
    /// Who provides its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The keys of its agent. None: no agent can connect as this node yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PublicKey>,
    /// The address that other nodes reach it at. Absent: what its agent reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Who may schedule here. Absent: every user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The most that one run may take.
    #[serde(default)]
    pub limits: Limits,
    /// Kept free after each exclusive run, and the ports of any run after that.
    #[serde(default = "default_guard")]
    pub guard: Duration,
    /// When nothing exclusive may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Maintenance>,
    /// Whether new runs are held back.
    #[serde(default)]
    pub cordoned: bool,
    /// Whether containers may have `network: host`: they see all of the host's network, and whatever listens there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// How much of its link the files of runs may take on their way to the reconciler: bytes per second, at least
    /// `16KiB`. Absent: all of it. While an exclusive run goes on, they take nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_rate: Option<Size>,
    /// What a privileged job may touch here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelAllowance>,
    /// What is measured about the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
}

fn default_guard() -> Duration {
    Duration::from_secs(5)
}

impl NodeSpec {
    /// Whether a user of a team may schedule jobs here. The node's owner always may.
    pub fn admits(&self, user: &UserName, team: Option<&TeamName>) -> bool {
        let Some(access) = &self.access else { return true };
        *user == self.owner
            || access.users.contains(user)
            || team.is_some_and(|team| access.teams.contains(team))
    }
}

/// What a node's kernel is open to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum NodeRole {
    /// No job may change kernel settings.
    #[default]
    Standard,
    /// Jobs of privileged owners may change what `kernel` lists.
    Privileged,
}

impl NodeRole {
    /// The role as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Privileged => "privileged",
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A place on earth (WGS 84).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Coordinates {
    /// Degrees north of the equator.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: f64,
    /// Degrees east of Greenwich.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: f64,
    /// Metres above the ellipsoid.
    #[serde(default)]
    pub elevation: f64,
}

/// Who may schedule on a node: members of any of the teams, and any of the users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// Teams whose members may.
    #[serde(default)]
    pub teams: Vec<TeamName>,
    /// Users who may.
    #[serde(default)]
    pub users: Vec<UserName>,
}

/// The most that one run may take of a node. Absent fields do not limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// CPUs; fractions are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cpus: Option<f64>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Artifacts of one run. Absent: what the job says, and 10 GiB where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Size>,
}

/// A recurring time in which nothing exclusive may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Maintenance {
    /// When it starts.
    pub cron: Cron,
    /// The time zone of `cron`.
    #[serde(default)]
    pub timezone: Timezone,
    /// How long it takes.
    pub length: Duration,
}

impl Maintenance {
    /// The windows as a schedule without bounds.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            timing: Timing::Cron { cron: self.cron.clone(), zone: self.timezone.0 },
            start: chrono::DateTime::UNIX_EPOCH,
            end: chrono::DateTime::<chrono::Utc>::MAX_UTC,
            length: self.length.to_delta(),
        }
    }
}

/// What a privileged job may touch of a node's kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KernelAllowance {
    /// Names of sysctls below `net.`: a container has these for itself.
    #[serde(default)]
    pub sysctls: Vec<String>,
    /// Absolute paths of the host's files `/sys/module/NAME/parameters/NAME` and of those below `/sys/devices`,
    /// `/proc/sys/net` and `/proc/sys/vm`; `*` stands for any characters of a name, within one folder.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What is measured about a node itself. An absent field is not measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Telemetry {
    /// The satellite terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dish: Option<DishTelemetry>,
    /// The weather at the node's coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weather: Option<WeatherTelemetry>,
    /// The satellites in view from the node's coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites: Option<SatelliteTelemetry>,
}

/// How the satellite terminal is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DishTelemetry {
    /// Host and port of its local gRPC service.
    #[serde(default = "default_dish")]
    pub address: String,
}

fn default_dish() -> String {
    "192.168.100.1:9200".to_owned()
}

/// The weather has no settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeatherTelemetry {}

/// The satellites have no settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SatelliteTelemetry {}
