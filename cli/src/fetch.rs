//! Fetching a stored file through the reconciler, and why a file did not arrive.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use thiserror::Error;
use tokio::time::timeout;

use almanac_proto::{limits, v1};
use almanac_schemas::RunId;

use crate::{
    call::{CallError, Caller},
    download::{FileProgress, Hashed},
    exit::Exit,
    view::Artifact,
};

/// How long the next part of a file may take.
pub(crate) const PART_DEADLINE: Duration = limits::CALL_DEADLINE;

/// Why a file did not arrive.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The reconciler did not send it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A name that would lead out of the folder.
    #[error("`{0}` is not a plain file name, so nothing is written")]
    Name(String),
    /// A link or a file where a folder has to be: what is written there would be elsewhere.
    #[error("{} is not a folder, so nothing is written there", .0.display())]
    NoFolder(PathBuf),
    /// The store itself did not send it.
    #[error("the store does not send {name}: {why}")]
    Store {
        /// The file.
        name: String,
        /// What it says.
        why: String,
        /// Whether it may well do so later.
        passing: bool,
    },
    /// The file was removed, since its retention was over.
    #[error("{0}")]
    Expired(String),
    /// A task of this program ended in an unforeseen way.
    #[error("a part of the program failed")]
    Task(#[from] tokio::task::JoinError),
    /// Something on this machine does not work.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// Something on this machine does not work.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file ended early or went on for too long.
    #[error("{name} has {found} bytes, and {expected} were announced")]
    Size {
        /// The file.
        name: String,
        /// How many arrived.
        found: u64,
        /// How many should have.
        expected: u64,
    },
    /// The content is not what was stored.
    #[error("{name} does not have the SHA-256 it was stored with: found {found}, expected {expected}")]
    Checksum {
        /// The file.
        name: String,
        /// The checksum of what arrived.
        found: String,
        /// The checksum it should have.
        expected: String,
    },
    /// The archive cannot be unpacked.
    #[error("cannot unpack {}", .0.display())]
    Unpack(PathBuf, #[source] io::Error),
}

impl FetchError {
    /// How a command that meets it ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Call(error) => error.exit(),
            Self::Store { passing: true, .. } => Exit::Unavailable,
            Self::Expired(_) => Exit::Negative,
            _ => Exit::Failed,
        }
    }

    /// Whether it is about one run, so that others may fare better.
    pub fn is_of_the_run(&self) -> bool {
        use CallError::{Forbidden, Inapplicable, NotFound, Refused};
        matches!(
            self,
            Self::Call(NotFound(_) | Forbidden(_) | Refused(_) | Inapplicable(_))
                | Self::Checksum { .. }
                | Self::Size { .. }
                | Self::Name(_)
                | Self::NoFolder(_)
                | Self::Expired(_)
                | Self::Unpack(..)
                | Self::Store { passing: false, .. }
        )
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Call(error) => return error.help(),
            Self::Write(_, error) => return Some(unwritable(error)),
            Self::Size { .. } => "the same command again goes on where this one stopped",
            Self::Checksum { .. } => {
                "what arrived was thrown away; if it happens again, the stored file is damaged"
            }
            Self::Store { passing: true, .. } => {
                "the same command again, later, goes on where this one stopped"
            }
            Self::NoFolder(_) => "move it away, or choose another folder with `--to DIR`",
            Self::Expired(_) => {
                "its record stays: `almanac runs show` shows it; `almanac runs keep` keeps the files of a run for good"
            }
            Self::Store { .. } | Self::Task(_) | Self::Name(_) | Self::Read(..) | Self::Unpack(..) => {
                return None;
            }
        };
        Some(help.to_owned())
    }
}

/// What to do about a folder that cannot be written.
pub(crate) fn unwritable(error: &io::Error) -> String {
    format!(
        "{} or choose another folder with `--to DIR`; the same command again goes on where this one stopped",
        mend(error)
    )
}

/// What to do about a place that cannot be written.
pub(crate) fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        _ => "put that right",
    }
}

/// A stored file of a run.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The run.
    pub run: RunId,
    /// The file.
    pub artifact: &'a Artifact,
}

impl Stored<'_> {
    /// Fetches what is missing. The inner error is that of the writer.
    pub(crate) async fn stream(
        &self,
        caller: &Caller,
        mut arrived: Hashed,
        to: &mut (dyn Write + '_),
        bar: &FileProgress<'_>,
    ) -> Result<io::Result<Hashed>, CallError> {
        bar.is_at(arrived.size);
        let request = v1::DownloadArtifactRequest {
            run_id: self.run.to_string(),
            role: v1::Role::from(self.artifact.role).into(),
            name: self.artifact.name.clone(),
            offset: arrived.size,
        };
        let explain = |status| caller.explain(&status);
        let late = |_| caller.silent();
        let call = caller.patiently(async |mut client| client.download_artifact(request.clone()).await);
        let mut parts = timeout(PART_DEADLINE, call).await.map_err(late)??;
        loop {
            let part = match timeout(PART_DEADLINE, parts.message()).await.map_err(late)? {
                Ok(Some(part)) => part,
                Ok(None) => break,
                // It is whole, however the call ends.
                Err(_) if arrived.size == self.artifact.size => break,
                Err(status) => return Err(explain(status)),
            };
            if let Err(error) = to.write_all(&part.data) {
                return Ok(Err(error));
            }
            arrived.add(&part.data);
            bar.is_at(arrived.size);
            // No need to fill the disk with what is wrong already.
            if arrived.size > self.artifact.size {
                break;
            }
        }
        Ok(to.flush().map(|()| arrived))
    }
}
