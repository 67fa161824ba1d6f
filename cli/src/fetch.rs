//! Fetching a stored file: streamed, continued where it stopped, and checked before it counts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time::timeout;

use almanac_proto::{limits, v1};
use almanac_schemas::RunId;

use crate::{
    call::{CallError, Caller},
    exit::Exit,
    view::{Artifact, State},
};

/// How long the next part of a file may take.
const PART_DEADLINE: Duration = limits::CALL_DEADLINE;

/// Why a file did not arrive.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The reconciler did not send it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A name that would lead out of the folder.
    #[error("`{0}` is not a plain file name, so nothing is written")]
    Name(String),
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
            _ => Exit::Failed,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Call(error) => return error.help(),
            Self::Write(..) => {
                "free some space or choose another folder with `--to DIR`; the same command again goes on where this one stopped"
            }
            Self::Size { .. } => "the same command again goes on where this one stopped",
            Self::Checksum { .. } => {
                "what arrived was thrown away; if it happens again, the stored file is damaged"
            }
            Self::Name(_) | Self::Read(..) | Self::Unpack(..) => return None,
        };
        Some(help.to_owned())
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
    /// Puts the file into a folder, unless it is there already and whole. What arrived before an
    /// interruption is kept beside it under a name that ends in `.part`.
    ///
    /// # Errors
    ///
    /// When it does not arrive whole. Then nothing of its name is left that is not whole.
    pub async fn save(&self, caller: &Caller, folder: &Path, bar: &ProgressBar) -> Result<State, FetchError> {
        let name = &self.artifact.name;
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(FetchError::Name(name.clone()));
        }
        let path = folder.join(name);
        let part = folder.join(format!("{name}.part"));
        bar.set_length(self.artifact.size);
        if let Some(found) = Progress::of(&path)?
            && self.check(found).is_ok()
        {
            return Ok(State::Present);
        }
        let write = |error| FetchError::Write(part.clone(), error);
        fs::create_dir_all(folder).map_err(|error| FetchError::Write(folder.to_owned(), error))?;
        let mut before = Progress::of(&part)?.filter(|before| before.size <= self.artifact.size);
        loop {
            let resumed = before.as_ref().is_some_and(|before| before.size > 0);
            let mut file = OpenOptions::new();
            let mut file = match resumed {
                true => file.append(true).open(&part),
                false => File::create(&part),
            }
            .map_err(write)?;
            let progress = before.take().unwrap_or_default();
            let progress = self.stream(caller, progress, &mut file, bar).await?.map_err(write)?;
            match self.check(progress) {
                // Synced before the rename, so that a whole name never stands for half a file.
                Ok(()) => {
                    file.sync_all().map_err(write)?;
                    fs::rename(&part, &path).map_err(|error| FetchError::Write(path, error))?;
                    return Ok(if resumed { State::Resumed } else { State::Downloaded });
                }
                // The beginning may have been of something else: once more from the start.
                Err(FetchError::Checksum { .. }) if resumed => {}
                Err(error @ FetchError::Checksum { .. }) => {
                    fs::remove_file(&part).map_err(write)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches what is missing. The inner error is that of the writer.
    async fn stream(
        &self,
        caller: &Caller,
        mut progress: Progress,
        to: &mut (dyn Write + '_),
        bar: &ProgressBar,
    ) -> Result<io::Result<Progress>, CallError> {
        bar.set_position(progress.size);
        let request = v1::DownloadArtifactRequest {
            run_id: self.run.to_string(),
            role: v1::Role::from(self.artifact.role).into(),
            name: self.artifact.name.clone(),
            offset: progress.size,
        };
        let explain = |status| caller.explain(&status);
        let late = |_| caller.silent();
        let mut client = caller.client();
        let call = timeout(PART_DEADLINE, client.download_artifact(request)).await.map_err(late)?;
        let mut parts = call.map_err(explain)?.into_inner();
        while let Some(part) =
            timeout(PART_DEADLINE, parts.message()).await.map_err(late)?.map_err(explain)?
        {
            if let Err(error) = to.write_all(&part.data) {
                return Ok(Err(error));
            }
            progress.add(&part.data);
            bar.set_position(progress.size);
            // No need to fill the disk with what is wrong already.
            if progress.size > self.artifact.size {
                break;
            }
        }
        Ok(to.flush().map(|()| progress))
    }

    fn check(&self, found: Progress) -> Result<(), FetchError> {
        let Artifact { name, size, sha256, .. } = self.artifact;
        if found.size != *size {
            return Err(FetchError::Size { name: name.clone(), found: found.size, expected: *size });
        }
        let found = found.sha256();
        if found != *sha256 {
            return Err(FetchError::Checksum { name: name.clone(), found, expected: sha256.clone() });
        }
        Ok(())
    }
}

/// How much of a file there is, and the state of its checksum.
#[derive(Debug, Clone, Default)]
struct Progress {
    size: u64,
    hash: Sha256,
}

impl Progress {
    /// What there is of a file on this machine.
    fn of(path: &Path) -> Result<Option<Self>, FetchError> {
        let read = |error| FetchError::Read(path.to_owned(), error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        let mut progress = Self::default();
        let mut buffer = vec![0; limits::MAX_CHUNK];
        loop {
            match file.read(&mut buffer).map_err(read)? {
                0 => return Ok(Some(progress)),
                length => progress.add(&buffer[..length]),
            }
        }
    }

    fn add(&mut self, data: &[u8]) {
        self.size += data.len() as u64;
        self.hash.update(data);
    }

    fn sha256(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
