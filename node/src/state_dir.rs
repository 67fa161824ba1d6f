//! The agent's folder on the host: its journal, and a folder per run.
//!
//! ```text
//! lock                      held while an agent runs on the folder
//! journal.sqlite            what it must not forget
//! notes/                    what a new journal is built of when it is lost
//! gate                      the program that containers begin with
//! telemetry/                the weather and the orbits that the reconciler passed on last
//! agent.sock                where a running agent answers `almanac-node status`
//! runs/RUN/config.yaml      the job's `config`          (in the container: /almanac/config.yaml)
//! runs/RUN/run.json         what the run is             (in the container: /almanac/run.json)
//! runs/RUN/almanac/         its socket                 (in the container: /almanac)
//! runs/RUN/artifacts/       what the run leaves
//! runs/RUN/held/            where the container is told that its run is due
//! runs/RUN/trigger.json     by what its trigger held
//! runs/RUN/process/         the process runtime's notes
//! runs/RUN/log/             the end of a log that is being written, and how far it is written
//! runs/RUN/outbox/          run.log, telemetry.csv, and what is packed for the reconciler
//! ```

mod remove;

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use almanac_schemas::Size;

use crate::{artifacts::TELEMETRY, container::RunFiles, logs::LogFiles, run::RunKey};

pub use remove::remove;

/// The folder, locked by this agent.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    /// Released when it is dropped, or by the kernel when the process dies.
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// It cannot be made or written.
    #[error(
        "the state folder {} cannot be written; name one that this user owns with `--state-dir`",
        .0.display()
    )]
    Unwritable(PathBuf, #[source] io::Error),
    /// Another agent runs on it.
    #[error(
        "another agent is running on the state folder {}; stop it, or give each node a folder of its own with `--state-dir`",
        .0.display()
    )]
    Locked(PathBuf),
}

impl StateDir {
    /// Makes the folder if need be, and locks it. Nobody else on the host can look into it, so that
    /// a run may leave its artifacts world-readable.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or another agent holds it.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let unwritable = |error| StateDirError::Unwritable(path.to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unwritable)?;
        // An engine mounts by absolute path, and knows nothing of this process's current folder.
        let root = path.canonicalize().map_err(unwritable)?;
        let lock = File::create(root.join("lock")).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::Locked(root)),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        fs::create_dir_all(root.join("runs")).map_err(unwritable)?;
        Ok(Self { root, _lock: lock })
    }

    /// Where the agent answers those who ask on this host.
    pub fn socket(&self) -> PathBuf {
        self.root.join(SOCKET)
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.sqlite")
    }

    /// The program that containers begin with.
    pub fn gate(&self) -> PathBuf {
        self.root.join("gate")
    }

    /// What the reconciler passed on for providers.
    pub fn telemetry(&self) -> PathBuf {
        self.root.join("telemetry")
    }

    /// The folder that holds the folders of runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of a run.
    pub fn run(&self, key: &RunKey) -> RunDir {
        RunDir::at(self.runs().join(key.to_string()))
    }
}

/// The name of the agent's socket in its folder.
pub const SOCKET: &str = "agent.sock";

/// The folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The folder at a path.
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run's container sees of it.
    pub fn files(&self) -> RunFiles {
        RunFiles {
            config: self.path.join("config.yaml"),
            facts: self.path.join("run.json"),
            artifacts: self.path.join("artifacts"),
            api: self.path.join("almanac"),
        }
    }

    /// Where the files are that go to the reconciler.
    pub fn outbox(&self) -> PathBuf {
        self.path.join("outbox")
    }

    /// What the run wrote to its standard output and error, at most so many bytes of it.
    pub fn log(&self, limit: Size) -> LogFiles {
        LogFiles {
            log: self.outbox().join("run.log"),
            folder: self.path.join("log"),
            limit: limit.as_bytes(),
        }
    }

    /// What was measured while the run went on.
    pub fn telemetry(&self) -> PathBuf {
        self.outbox().join(TELEMETRY)
    }

    /// Makes the folder and the files that the run finds. Done twice, it changes nothing.
    ///
    /// # Errors
    ///
    /// When something cannot be written.
    pub fn prepare(&self, config: &str, facts: &str) -> io::Result<()> {
        let files = self.files();
        fs::create_dir_all(&files.artifacts)?;
        fs::create_dir_all(self.outbox())?;
        // Images run as users of their own, whom the host does not know.
        fs::set_permissions(&files.artifacts, fs::Permissions::from_mode(0o777))?;
        // The container cannot write there, and neither can its engine: what is mounted below has its place already.
        fs::create_dir_all(files.api.join("held"))?;
        fs::set_permissions(&files.api, fs::Permissions::from_mode(0o755))?;
        for name in ["config.yaml", "run.json", "gate"] {
            File::options().create(true).append(true).open(files.api.join(name))?;
        }
        for (file, text) in [(&files.config, config), (&files.facts, facts)] {
            fs::write(file, text)?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    /// Removes the folder and everything in it, which may be a million files.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub async fn remove(&self) -> io::Result<()> {
        away(self.path.clone()).await
    }

    /// Removes what the run left, once that is packed.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub async fn remove_artifacts(&self) -> io::Result<()> {
        away(self.files().artifacts).await
    }
}

/// Removes a folder away from the threads that serve everybody.
async fn away(path: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || remove(&path))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let held = StateDir::open(&path).unwrap();
        assert!(matches!(StateDir::open(&path), Err(StateDirError::Locked(_))));
        drop(held);
        assert!(StateDir::open(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_cannot_be_written_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state")).unwrap_err();
        assert!(matches!(error, StateDirError::Unwritable(..)));
        assert!(error.to_string().contains("--state-dir"));
    }
}
