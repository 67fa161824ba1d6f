//! `kind: Config`: settings of the whole testbed. There is at most one; every field has a default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    manifest::{Envelope, Metadata, constant_kind},
    name::ConfigName,
    secret::SecretRef,
    store_credentials::StoreCredentials,
};

constant_kind!(
    /// The word `Config`.
    ConfigKind, Config
);

/// Settings of the whole testbed.
pub type Config = Envelope<ConfigKind, Metadata<ConfigName>, ConfigSpec>;

/// Settings of the whole testbed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ConfigSpec {
    /// Where artifacts go.
    pub artifacts: ArtifactStore,
    /// How often agents report.
    pub heartbeat: Heartbeat,
    /// What holds for every node.
    pub nodes: NodeDefaults,
    /// The network of containers.
    pub network: ContainerNetwork,
    /// Where the weather comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weather: Option<WeatherSource>,
    /// Where the satellites' orbits come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellites: Option<SatelliteSource>,
    /// Bounds on every job's schedule.
    pub schedule: ScheduleBounds,
    /// Where one-shot runs go whose node is in scavenger mode.
    pub scavenger: Rescheduling,
    /// What is asked of commits.
    pub commits: CommitRules,
    /// How much one commit may remove.
    pub prune: Prune,
}

/// Where artifacts go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ArtifactStore {
    /// `file:///absolute/path`, `az://container/prefix` or `s3://bucket/prefix`. Absent: a folder
    /// beside the reconciler's database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The address of the store's service, such as `https://minio.example.org:9000`, where it is not that of Azure or
    /// Amazon. Nodes send files to it, too, so it must be one that they reach. For `az://` the account is part of
    /// it: of the host's name, or else the whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of an S3 bucket. Absent: that of the reconciler's environment, and else `us-east-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the store may be reached without TLS. Over loopback it always may.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
    /// What the store asks for. Absent: what the reconciler's environment or its machine has for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<StoreCredentials>,
    /// How long artifacts are kept where a job does not say.
    pub retention: Duration,
}

impl Default for ArtifactStore {
    fn default() -> Self {
        Self {
            store: None,
            endpoint: None,
            region: None,
            allow_http: false,
            credentials: None,
            retention: Duration::from_secs(180 * 86_400),
        }
    }
}

/// How often agents report, and when silence means something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// The time between two heartbeats of a node.
    pub interval: Duration,
    /// A node that was silent for so long is stale.
    pub stale_after: Duration,
    /// A node that was silent for so long is offline.
    pub offline_after: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            stale_after: Duration::from_secs(120),
            offline_after: Duration::from_secs(600),
        }
    }
}

/// What holds for every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct NodeDefaults {
    /// How long a node that does not reach the reconciler keeps its schedule: from `10m` to `90d`. Later it starts
    /// nothing until it does.
    pub offline_for: Duration,
}

impl Default for NodeDefaults {
    fn default() -> Self {
        Self { offline_for: Duration::from_secs(7 * 86_400) }
    }
}

/// The network of containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ContainerNetwork {
    /// The name of the engine's network that bridged containers join. Agents create it.
    pub docker: String,
}

impl Default for ContainerNetwork {
    fn default() -> Self {
        Self { docker: "almanac".to_owned() }
    }
}

/// Where the weather comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WeatherSource {
    /// The address of a service that speaks OpenWeatherMap's current-weather format.
    #[serde(default = "default_weather")]
    pub url: String,
    /// The service's key.
    pub api_key: SecretRef,
}

fn default_weather() -> String {
    "https://api.openweathermap.org/data/2.5/weather".to_owned()
}

/// Where the satellites' orbits come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SatelliteSource {
    /// The address of two-line element sets, or the absolute path of a file on the reconciler's host.
    pub tle: String,
}

/// Bounds on every job's schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ScheduleBounds {
    /// The longest time from a recurring schedule's start to its end.
    pub max_window: Duration,
    /// The shortest run.
    pub min_length: Duration,
    /// The longest run.
    pub max_length: Duration,
}

impl Default for ScheduleBounds {
    fn default() -> Self {
        Self {
            max_window: Duration::from_secs(2 * 365 * 86_400),
            min_length: Duration::from_secs(10),
            max_length: Duration::from_secs(86_400),
        }
    }
}

/// Where one-shot runs go that a node's owner wanted the link instead of: to the nearest time that is free on all of their
/// nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Rescheduling {
    /// How long after it is moved a run starts at the earliest: from `10s` to `7d`.
    pub delay: Duration,
    /// How long after its `at` a run whose schedule has no `end` starts at the latest: from `1h` to `366d`.
    pub within: Duration,
}

impl Default for Rescheduling {
    fn default() -> Self {
        Self { delay: Duration::from_secs(30 * 60), within: Duration::from_secs(30 * 86_400) }
    }
}

/// What is asked of commits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CommitRules {
    /// Whether each commit must carry the SSH signature of a declared key.
    pub require_signed: bool,
}

/// How much one commit may remove without a human's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Prune {
    /// The largest fraction of the users, nodes or jobs, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_fraction: f64,
}

impl Default for Prune {
    fn default() -> Self {
        Self { max_fraction: 0.5 }
    }
}
