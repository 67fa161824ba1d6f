//! What runs: a container and what it may use.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Size, text::text_value};

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Container {
    /// The image, by digest where results must be reproducible.
    pub image: Image,
    /// The arguments, replacing the image's own command. `$(NAME)` stands for a variable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment variables. Names that start with `ALMANAC_` are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Which network it sees. `host` takes nodes with `hostNetwork`.
    #[serde(default)]
    pub network: Network,
    /// Whether it can write to its artifacts and to `/tmp` alone. If not, it may change its whole file system, which is
    /// gone with it.
    #[serde(default = "default_read_only", skip_serializing_if = "is_default_read_only")]
    pub read_only: bool,
    /// Linux capabilities that it keeps, without `CAP_`. All others are dropped. Those that reach beyond a container
    /// take the word of each node's host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The most that it may take; the node's limits hold in any case.
    #[serde(default)]
    pub resources: Resources,
    /// Ports that it listens on and that other nodes reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

const fn default_read_only() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_default_read_only(read_only: &bool) -> bool {
    *read_only == default_read_only()
}

/// Which network a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// A network of its own behind the node's address.
    #[default]
    Bridge,
    /// The node's own.
    Host,
    /// None.
    None,
}

/// The most that a container may take. Absent fields do not limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Resources {
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
}

/// The name of an image, such as `registry.example.org/probes/iperf@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image(String);

/// A text that no engine would take for an image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not the name of an image: expected `[registry/]name[:tag][@digest]`, in lower case before the tag"
)]
pub struct ImageError(String);

impl Image {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let path = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => path,
            _ => name,
        };
        // The registry may contain upper case (it is a host name), the rest of the path may not.
        let repository = path.split_once('/').map_or(path, |(_, rest)| rest);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._/:@+".contains(c);
        let good = !text.is_empty()
            && text.chars().all(allowed)
            && !path.is_empty()
            && !path.split('/').any(str::is_empty)
            && !repository.chars().any(|c| c.is_ascii_uppercase())
            && !text.ends_with([':', '@', '/']);
        good.then(|| Self(text.to_owned())).ok_or_else(|| ImageError(text.to_owned()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_value!(Image, "image name", {
    "type": "string",
    "minLength": 1,
    "examples": ["registry.example.org/probes/iperf:3.17"]
});

/// A Linux capability (capabilities(7)), without `CAP_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(&'static str);

/// A capability that Linux does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a Linux capability: expected a name without `CAP_`, such as `NET_RAW`")]
pub struct CapabilityError(String);

/// All capabilities of Linux 6.12.
pub const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Capabilities that say something about the container alone: Docker's own default, and `NET_ADMIN`, which in a network
/// of its own changes that network. Every other one reaches the host: its clock, its devices, its other processes.
const CONFINED: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

impl Capability {
    /// The name without `CAP_`.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// Whether a container that holds it and sees this network cannot reach beyond itself by it.
    pub fn is_confined(&self, network: Network) -> bool {
        CONFINED.contains(&self.0) && !(self.0 == "NET_ADMIN" && network == Network::Host)
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let known = CAPABILITIES.iter().find(|name| **name == text);
        known.map(|name| Self(name)).ok_or_else(|| CapabilityError(text.to_owned()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

text_value!(Capability, "capability", {
    "type": "string",
    "pattern": "^[A-Z_]+$",
    "examples": ["NET_RAW"]
});

/// A port and its protocol, such as `5201/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The number, 1 to 65535.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A text that is not a port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a port: expected a number from 1 to 65535 and `tcp` or `udp`, such as `5201/tcp`")]
pub struct PortError(String);

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let error = || PortError(text.to_owned());
        let (number, protocol) = text.split_once('/').ok_or_else(error)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(error()),
        };
        let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(error)?;
        Ok(Self { number, protocol })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        f.pad(&format!("{}/{protocol}", self.number))
    }
}

text_value!(Port, "port", {
    "type": "string",
    "pattern": "^[0-9]{1,5}/(tcp|udp)$",
    "examples": ["5201/tcp"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        for good in [
            "busybox",
            "almanac/ping:1",
            "localhost:5000/x/y:latest",
            "registry.example.org/probes/iperf@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert!(good.parse::<Image>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "Busybox/Ping", "x:", "x@", "/x", "a//b", "--privileged=$(x)"] {
            assert!(bad.parse::<Image>().is_err(), "{bad}");
        }
    }

    #[test]
    fn capabilities_and_ports() {
        assert_eq!("NET_RAW".parse::<Capability>().unwrap().as_str(), "NET_RAW");
        assert!("CAP_NET_RAW".parse::<Capability>().is_err());
        assert!(CONFINED.iter().all(|name| name.parse::<Capability>().is_ok()));
        let admin: Capability = "NET_ADMIN".parse().unwrap();
        assert!(admin.is_confined(Network::Bridge) && admin.is_confined(Network::None));
        assert!(!admin.is_confined(Network::Host), "there it would change the host's own network");
        assert!(!"SYS_TIME".parse::<Capability>().unwrap().is_confined(Network::None));
        assert_eq!("5201/tcp".parse::<Port>().unwrap().to_string(), "5201/tcp");
        for bad in ["5201", "0/tcp", "65536/udp", "5201/sctp", "/tcp"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }
}
