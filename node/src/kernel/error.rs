//! Why a kernel setting is not made.

use std::io;

use thiserror::Error;

use almanac_schemas::kernel::{KernelFile, Setting, SettingError, Sysctl};

use crate::{journal::JournalError, runtime::RuntimeError};

use super::{file::FileError, namespace::NamespaceError};

/// Why a kernel setting is not made, or not read.
#[derive(Debug, Error)]
pub enum KernelError {
    /// It is none.
    #[error("`{0}` is no kernel setting of a run")]
    NoSetting(String, #[source] SettingError),
    /// Its value is none.
    #[error("the value of {0} cannot be set")]
    NoValue(Setting, #[source] SettingError),
    /// There is no container.
    #[error("this node runs plain processes, which have no kernel settings: it takes containers")]
    Process,
    /// Its container has the host's network.
    #[error("with `network: host` the sysctl `{}` would be the host's own; use `network: bridge`", .0.as_str())]
    HostNetwork(Sysctl),
    /// It is the part of a server.
    #[error("kernel settings are of the job's own container, not of its server")]
    Server,
    /// The node's manifest does not allow it.
    #[error(
        "the node's manifest does not allow {0}: its role must be `privileged`, and its `kernel` must list it"
    )]
    Node(Setting),
    /// The host's owner does not allow it.
    #[error("the host does not allow {0}; its owner has `[policy]` of the agent's configuration")]
    Host(Setting),
    /// The reconciler does not allow it.
    #[error("the reconciler does not allow it: {0}")]
    Unauthorised(String),
    /// The reconciler cannot be asked.
    #[error(
        "the reconciler cannot be asked whether the job's owner may do this now ({0}); try again when this node is connected"
    )]
    Unreachable(String),
    /// Another run has changed it.
    #[error("the file `{}` is changed by the run {run} until that ends", file.as_str())]
    Held {
        /// The file.
        file: KernelFile,
        /// The other run.
        run: String,
    },
    /// Nobody could put it back.
    #[error("the file `{}` holds what could not be put back: expected one line of text", .0.as_str())]
    Fixed(KernelFile),
    /// The run has ended.
    #[error("the run has ended")]
    Over,
    /// There is no room to record it.
    #[error("the run has changed so much that no more of it can be recorded; nothing more is changed")]
    Full,
    /// A file does not do it.
    #[error("the file `{}` cannot be read or set", file.as_str())]
    File {
        /// The file.
        file: KernelFile,
        /// Why.
        #[source]
        source: FileError,
    },
    /// A sysctl does not do it.
    #[error("the sysctl `{}` cannot be read or set", sysctl.as_str())]
    Sysctl {
        /// The sysctl.
        sysctl: Sysctl,
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// The engine does not say where the container is.
    #[error("the container cannot be found")]
    Engine(#[source] RuntimeError),
    /// It cannot be recorded.
    #[error("it cannot be recorded, so nothing is changed")]
    Record(#[source] io::Error),
    /// It cannot be journaled.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
