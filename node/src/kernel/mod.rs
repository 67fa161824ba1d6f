//! Kernel settings of runs: who may make them, how they are made, and how the host's own are put back.
//!
//! - [`access`]: whether a run may have a setting, by the reconciler, the node's manifest and the host's policy.
//! - `changes`: files of the host, which are journaled before they are changed and put back when the run ends.
//! - `file`: opening such a file without being led elsewhere. `namespace`: sysctls of a container's own network.
//! - `record`: `kernel.jsonl`, where everything that is done stands.

pub mod access;
mod changes;
mod error;
mod file;
mod namespace;
mod record;

pub use access::Kernel;
pub use error::KernelError;
pub use file::FileError;
pub use namespace::NamespaceError;
pub use record::KERNEL_LOG;
