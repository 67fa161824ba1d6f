//! What a run's container looks like: the manifest, the node's limits and the run make one plain
//! description, which a runtime then carries out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use chrono::SecondsFormat;

use almanac_schemas::{
    JobSpec, RunRole, Size,
    container::{Capability, Container, Image, Network, Port},
    kernel::Sysctl,
};

use crate::{
    api,
    run::{Order, Peer, RunKey},
};

/// The label that names the agent that made the container, by the fingerprint of its key.
pub const AGENT_LABEL: &str = "almanac.agent";
/// The label that names the node.
pub const NODE_LABEL: &str = "almanac.node";
/// The label that names the run.
pub const RUN_LABEL: &str = "almanac.run";
/// The label that names the part of the job.
pub const ROLE_LABEL: &str = "almanac.role";
/// The label that names the job.
pub const JOB_LABEL: &str = "almanac.job";

/// A container, as it is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: ContainerName,
    /// What it carries, for finding it again.
    pub labels: BTreeMap<String, String>,
    /// Its image.
    pub image: Image,
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its environment, names and values.
    pub env: Vec<(String, String)>,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// Whether its own file system cannot be written.
    pub read_only: bool,
    /// Where it has a file system in memory, empty at its start.
    pub scratch: Option<&'static str>,
    /// The capabilities that it keeps.
    pub capabilities: Vec<Capability>,
    /// The most that it may take.
    pub resources: Resources,
    /// The network that it sees.
    pub network: NetworkChoice,
    /// The ports that other nodes reach.
    pub ports: Vec<Port>,
    /// Sysctls of its own network.
    pub sysctls: BTreeMap<String, String>,
}

/// The name of a container: `almanac-`, the run, and `-server` for the part of a server. So one
/// instant has one name, and an engine refuses a second container for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerName(String);

const PREFIX: &str = "almanac-";

impl ContainerName {
    /// The name of a run's container.
    pub fn of(key: &RunKey) -> Self {
        Self(format!("{PREFIX}{key}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The run, as folders are named by it.
    pub fn run(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A file or folder of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// The most that a container may take. Absent fields do not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// CPUs.
    pub cpus: Option<f64>,
    /// Memory.
    pub memory: Option<Size>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// The network that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChoice {
    /// An engine's network of this name.
    Bridge(String),
    /// The host's own.
    Host,
    /// None.
    None,
}

/// A run's folder on the host, with what its container sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFiles {
    /// The job's `config`.
    pub config: PathBuf,
    /// What the run is.
    pub facts: PathBuf,
    /// Where it leaves its artifacts.
    pub artifacts: PathBuf,
    /// The folder that its socket is in. A socket itself would be a dead one after a restart of the agent.
    pub api: PathBuf,
}

/// Whether a run sees its files through mounts or where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Under the paths of a container.
    Mounted,
    /// Under the host's own paths.
    Host,
}

/// Where a container finds all that is the agent's.
const FOLDER_PATH: &str = "/almanac";
const CONFIG_PATH: &str = "/almanac/config.yaml";
const FACTS_PATH: &str = "/almanac/run.json";
const API_PATH: &str = "/almanac/api.sock";
/// Where programs expect to be able to write.
const SCRATCH_PATH: &str = "/tmp";

/// Describes the container of a run.
pub fn describe(order: &Order, files: &RunFiles, view: View) -> ContainerSpec {
    let key = order.key();
    let container = part(&order.spec, order.role);
    let artifacts = &order.spec.artifacts.path;
    let seen = |mounted: &str, host: &Path| match view {
        View::Mounted => mounted.to_owned(),
        View::Host => host.display().to_string(),
    };
    let scheduled_at = order.scheduled_at.0.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let mut own = vec![
        ("ALMANAC_JOB", order.job.to_string()),
        ("ALMANAC_NODE", order.node.to_string()),
        ("ALMANAC_RUN", key.id.to_string()),
        ("ALMANAC_ROLE", order.role.to_string()),
        ("ALMANAC_SCHEDULED_AT", scheduled_at),
        ("ALMANAC_LENGTH", order.spec.schedule.length.as_secs().to_string()),
        ("ALMANAC_CONFIG", seen(CONFIG_PATH, &files.config)),
        ("ALMANAC_ARTIFACTS", seen(artifacts, &files.artifacts)),
        ("ALMANAC_API", seen(API_PATH, &files.api.join(api::SOCKET))),
    ];
    if order.role == RunRole::Server {
        own.extend(order.peer.iter().map(|client| ("ALMANAC_CLIENT_NODE", client.node.to_string())));
    }
    let mut env: Vec<(String, String)> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.extend(order.server().into_iter().flat_map(|server| reached(server, &order.spec)));
    for (name, value) in &container.env {
        // What the agent says of the run is not the manifest's to change.
        if !name.starts_with("ALMANAC_") {
            let value = expand(value, &env);
            env.push((name.clone(), value));
        }
    }
    let mount = |source: &Path, target: &str, read_only| Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    let labels = [
        (NODE_LABEL, order.node.to_string()),
        (JOB_LABEL, order.job.to_string()),
        (RUN_LABEL, key.id.to_string()),
        (ROLE_LABEL, order.role.to_string()),
    ];
    ContainerSpec {
        name: ContainerName::of(&key),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        image: container.image.clone(),
        command: container.command.iter().map(|argument| expand(argument, &env)).collect(),
        mounts: vec![
            // The engine mounts a folder before what is in it.
            mount(&files.api, FOLDER_PATH, true),
            mount(&files.config, CONFIG_PATH, true),
            mount(&files.facts, FACTS_PATH, true),
            mount(&files.artifacts, artifacts, false),
        ],
        read_only: container.read_only,
        scratch: (container.read_only && !is_same_folder(artifacts, SCRATCH_PATH)).then_some(SCRATCH_PATH),
        capabilities: container.capabilities.clone(),
        resources: Resources {
            cpus: smaller(container.resources.cpus, order.limits.cpus),
            memory: smaller(container.resources.memory, order.limits.memory),
            pids: smaller(container.resources.pids, order.limits.pids),
        },
        network: match container.network {
            Network::Bridge => NetworkChoice::Bridge(order.network.clone()),
            Network::Host => NetworkChoice::Host,
            Network::None => NetworkChoice::None,
        },
        ports: container.ports.clone(),
        sysctls: sysctls(order),
        env,
    }
}

/// The sysctls that an engine sets before a container begins: those that a network of its own has.
fn sysctls(order: &Order) -> BTreeMap<String, String> {
    let is_own = order.role == RunRole::Client && order.spec.container.network != Network::Host;
    let declared = order.spec.kernel.iter().filter(|_| is_own).flat_map(|kernel| &kernel.sysctls);
    let declared = declared.filter(|(name, _)| Sysctl::parse(name).is_ok());
    declared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a client is told of its server. Ports are published as they are declared.
fn reached(server: &Peer, job: &JobSpec) -> Vec<(String, String)> {
    let mut known = vec![("ALMANAC_SERVER_NODE".to_owned(), server.node.to_string())];
    if !server.address.is_empty() {
        known.push(("ALMANAC_SERVER_ADDRESS".to_owned(), server.address.clone()));
    }
    let ports = job.server.iter().flat_map(|server| &server.container.ports);
    let numbers: BTreeSet<u16> = ports.map(|port| port.number).collect();
    let port = |number: u16| (format!("ALMANAC_SERVER_PORT_{number}"), number.to_string());
    known.extend(numbers.into_iter().map(port));
    known
}

/// The container of a part of a job.
pub(crate) fn part(job: &JobSpec, role: RunRole) -> &Container {
    match (role, &job.server) {
        (RunRole::Server, Some(server)) => &server.container,
        _ => &job.container,
    }
}

/// Whether two absolute paths name one folder, however they are written.
fn is_same_folder(one: &str, other: &str) -> bool {
    // Repeated and single-dot parts do not count among the components of a path.
    Path::new(one).components().eq(Path::new(other).components())
}

/// The smaller of two limits, each of which may be absent.
pub(crate) fn smaller<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other < one { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// Replaces `$(NAME)` by the variable's value, as Kubernetes does: `$$(NAME)` stands for itself
/// with one `$`, and the name of an unknown variable stays as it is written.
fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        let reference =
            after.strip_prefix('(').and_then(|inside| inside.find(')').map(|end| (&inside[..end], end + 2)));
        match reference {
            Some((name, length)) => {
                match variables.iter().rev().find(|(known, _)| known == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&rest[at..=at + length]),
                }
                rest = &after[length..];
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
