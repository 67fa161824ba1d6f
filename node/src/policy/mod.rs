//! The last word of the host's owner: `[policy]` of the agent's own configuration narrows what Git may ask
//! for, and never widens it. What is asked for in Git and what is allowed here both have to hold.

mod quiet;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer, de};

use almanac_schemas::{
    JobSpec, NodeSpec, Occurrence, RunRole, Size,
    container::{Capability, Network},
    kernel::{self, FilePattern, KernelFile, Setting},
    node::Limits,
};

use crate::{
    container::{part, smaller},
    registry::{Repository, Source},
};

pub use quiet::{Quiet, QuietError};

/// What a host allows. What is absent leaves it to Git.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// Whether containers may see the host's own network, where the node's manifest allows it.
    pub host_network: Option<bool>,
    /// The capabilities that containers may keep. Absent: those that are confined to a container.
    pub capabilities: Option<BTreeSet<Capability>>,
    /// The sysctls that jobs may set, where the node's manifest allows it.
    pub sysctls: Option<BTreeSet<String>>,
    /// The files of the kernel that jobs may set, as the node's manifest has them, where that allows it.
    #[serde(deserialize_with = "kernel_files")]
    pub kernel_files: Option<Vec<String>>,
    /// Where images may come from.
    pub registries: Option<Vec<Source>>,
    /// The most CPUs of one container.
    #[serde(deserialize_with = "cpus")]
    pub cpus: Option<f64>,
    /// The most memory of one container.
    #[serde(deserialize_with = "memory")]
    pub memory: Option<Size>,
    /// The most processes and threads of one container.
    #[serde(deserialize_with = "pids")]
    pub pids: Option<u32>,
    /// The most that one run may leave.
    pub artifacts: Option<Size>,
    /// The most that files of runs take of the link, per second.
    #[serde(deserialize_with = "upload_rate")]
    pub upload_rate: Option<Size>,
    /// How much of the disks that runs write to stays free.
    pub disk_reserve: Option<Size>,
    /// When nothing runs.
    pub quiet_hours: Vec<Quiet>,
}

/// Why a run is forbidden: at least one ban.
#[derive(Debug, Clone, PartialEq)]
pub struct Forbidden(Vec<Ban>);

/// Something that a run may not have.
#[derive(Debug, Clone, PartialEq)]
pub enum Ban {
    /// The node's manifest does not give its own network away. Validation says so first; a commit that was
    /// applied before there was that rule gets here.
    NetworkOfNode,
    /// The host's own network.
    HostNetwork,
    /// A capability that the policy does not name.
    Capability(Capability),
    /// A capability that reaches beyond the container, where no policy names it.
    Unconfined(Capability, Network),
    /// A sysctl.
    Sysctl(String),
    /// A file of the kernel.
    KernelFile(String),
    /// Where its image comes from.
    Registry(Repository),
    /// The time at which it would run.
    Quiet(Occurrence),
}

impl Policy {
    /// Judges a part of a job that would run in an interval: what it may take at most, or why it may not run.
    ///
    /// # Errors
    ///
    /// When it is forbidden.
    pub fn judge(
        &self,
        node: &NodeSpec,
        job: &JobSpec,
        role: RunRole,
        run: Occurrence,
    ) -> Result<Limits, Forbidden> {
        let container = part(job, role);
        let mut bans = Vec::new();
        if container.network == Network::Host {
            if !node.host_network {
                bans.push(Ban::NetworkOfNode);
            } else if self.host_network == Some(false) {
                bans.push(Ban::HostNetwork);
            }
        }
        for capability in &container.capabilities {
            let ban = match &self.capabilities {
                Some(allowed) if !allowed.contains(capability) => Ban::Capability(capability.clone()),
                None if !capability.is_confined(container.network) => {
                    Ban::Unconfined(capability.clone(), container.network)
                }
                _ => continue,
            };
            bans.push(ban);
        }
        // Kernel settings are made on the host of the job's own container.
        if let (Some(kernel), RunRole::Client) = (&job.kernel, role) {
            let sysctls = kernel.sysctls.keys().filter(|name| !self.allows_sysctl(name));
            bans.extend(sysctls.cloned().map(Ban::Sysctl));
            let allows = |path: &str| KernelFile::parse(path).is_ok_and(|file| self.allows_file(&file));
            let files = kernel.files.keys().filter(|path| !allows(path));
            bans.extend(files.cloned().map(Ban::KernelFile));
        }
        if let Some(sources) = &self.registries {
            let repository = Repository::of(&container.image);
            if !sources.iter().any(|source| source.holds(&repository)) {
                bans.push(Ban::Registry(repository));
            }
        }
        bans.extend(self.quiet_hours.iter().find_map(|quiet| quiet.meets(run)).map(Ban::Quiet));
        if bans.is_empty() { Ok(self.narrow(&node.limits)) } else { Err(Forbidden(bans)) }
    }

    /// Whether a kernel setting may be made, as far as this host is concerned.
    pub fn allows(&self, setting: &Setting) -> bool {
        match setting {
            Setting::Sysctl(sysctl) => self.allows_sysctl(sysctl.as_str()),
            Setting::File(file) => self.allows_file(file),
        }
    }

    fn allows_sysctl(&self, name: &str) -> bool {
        self.sysctls.as_ref().is_none_or(|allowed| allowed.contains(name))
    }

    fn allows_file(&self, file: &KernelFile) -> bool {
        self.kernel_files.as_ref().is_none_or(|allowed| kernel::is_listed(allowed, file))
    }

    /// The smaller of the node's limits and this host's.
    fn narrow(&self, limits: &Limits) -> Limits {
        Limits {
            cpus: smaller(limits.cpus, self.cpus),
            memory: smaller(limits.memory, self.memory),
            pids: smaller(limits.pids, self.pids),
            artifacts: smaller(limits.artifacts, self.artifacts),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ban) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            ban.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkOfNode => f.write_str("the node's manifest does not say `hostNetwork: true`"),
            Self::HostNetwork => f.write_str("the host does not allow `network: host`"),
            Self::Capability(capability) => {
                write!(f, "the host does not allow the capability `{capability}`")
            }
            Self::Unconfined(capability, network) => {
                let with = if *network == Network::Host { " with `network: host`" } else { "" };
                write!(
                    f,
                    "the capability `{capability}`{with} reaches the host, which has not named it in its policy"
                )
            }
            Self::Sysctl(sysctl) => write!(f, "the host does not allow the sysctl `{sysctl}`"),
            Self::KernelFile(path) => write!(f, "the host does not allow the kernel's file `{path}`"),
            Self::Registry(repository) => write!(f, "the host does not allow images from `{repository}`"),
            Self::Quiet(hours) => {
                let instant = |instant: chrono::DateTime<chrono::Utc>| almanac_schemas::Instant(instant);
                write!(f, "the host is quiet from {} to {}", instant(hours.start), instant(hours.end))
            }
        }
    }
}

/// What an engine takes for no limit at all must not be written down as one.
fn more_than_nothing<'de, D: Deserializer<'de>, T: PartialOrd + fmt::Display>(
    value: T,
    least: &T,
    example: &str,
) -> Result<Option<T>, D::Error> {
    if value >= *least {
        return Ok(Some(value));
    }
    Err(de::Error::custom(format!("{value} is less than {least}: expected more, such as `{example}`")))
}

fn cpus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    more_than_nothing::<D, _>(f64::deserialize(deserializer)?, &0.01, "1.5")
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    more_than_nothing::<D, _>(Size::deserialize(deserializer)?, &Size::from_bytes(6 << 20), "512MiB")
}

fn upload_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    more_than_nothing::<D, _>(Size::deserialize(deserializer)?, &Size::from_bytes(16 << 10), "2MiB")
}

/// A pattern that stands for nothing would forbid what its writer meant to allow.
fn kernel_files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let patterns = Vec::<String>::deserialize(deserializer)?;
    match patterns.iter().find_map(|pattern| Some((pattern, FilePattern::parse(pattern).err()?))) {
        Some((pattern, error)) => Err(de::Error::custom(format!("`{pattern}`: {error}"))),
        None => Ok(Some(patterns)),
    }
}

fn pids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    more_than_nothing::<D, _>(u32::deserialize(deserializer)?, &1, "256")
}

#[cfg(test)]
mod tests;
