//! Sysctls of the network of a container that runs.
//!
//! What `/proc/sys/net` shows follows the network namespace of the thread that looks. So a thread of its own enters that
//! of the container, reads or writes, and ends: no other work is ever done there.

use std::{fs::File, io, os::fd::AsFd, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use thiserror::Error;
use tokio::sync::oneshot;

use super::file::{self, FileError};

/// Why a sysctl is not read or written.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The container does not run.
    #[error("its container does not run")]
    Gone,
    /// There is no network of its own.
    #[error("its container has no network of its own")]
    Hosts,
    /// The namespace cannot be entered.
    #[error(
        "the network of its container cannot be entered; does the agent run as root, or with CAP_SYS_ADMIN?"
    )]
    Enter(#[source] io::Error),
    /// The sysctl itself.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The network namespace of a process. It stays the one that it was, whatever becomes of the process.
pub(super) fn of(process: i32) -> Result<File, NamespaceError> {
    let open = |path: String| File::open(path).map_err(NamespaceError::Enter);
    let identity = |file: &File| rustix::fs::fstat(file).map(|found| (found.st_dev, found.st_ino));
    let (theirs, own) = (open(format!("/proc/{process}/ns/net"))?, open("/proc/self/ns/net".to_owned())?);
    if identity(&theirs).ok() == identity(&own).ok() {
        return Err(NamespaceError::Hosts);
    }
    Ok(theirs)
}

/// Sets a file below `/proc/sys/net` in a namespace if there is a value, and reads it.
pub(super) async fn within(
    namespace: File,
    path: String,
    value: Option<String>,
) -> Result<String, NamespaceError> {
    let (done, answer) = oneshot::channel();
    let work = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| NamespaceError::Enter(error.into()))?;
        if let Some(value) = value {
            file::write(&path, &value)?;
        }
        Ok(file::read(&path)?)
    };
    let spawned = thread::Builder::new().name("kernel-sysctl".to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    });
    spawned.map_err(NamespaceError::Enter)?;
    answer.await.unwrap_or(Err(NamespaceError::Gone))
}
