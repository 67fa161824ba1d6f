//! The folder in which uploads arrive.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{fs, task};
use uuid::Uuid;

/// The folder in which uploads arrive, a file each. Clones share what they know of the files.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
    hashes: Hashes,
}

/// The hashes of what arrived, so that it need not be read again. They are lost with the process.
type Hashes = Arc<Mutex<BTreeMap<Uuid, Progress>>>;

/// How many hashes are remembered, of some 200 bytes each. There are more uploads than that only where they are begun
/// and not ended.
const HASHES: usize = 10_000;

/// How much of a file has arrived, and its hash.
#[derive(Debug, Clone, Default)]
struct Progress {
    length: u64,
    hash: Sha256,
}

/// Why a part cannot be kept.
#[derive(Debug, Error)]
pub enum StagingError {
    /// The disk is full.
    #[error("the reconciler's disk is full; make room below {} and the upload goes on where it stopped", .0.display())]
    Full(PathBuf),
    /// Anything else.
    #[error("cannot use {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// A staging file that is added to.
#[derive(Debug)]
pub struct Part {
    id: Uuid,
    path: PathBuf,
    file: Arc<File>,
    /// How many bytes are there.
    pub length: u64,
    /// The hash of those bytes, where it is known.
    hash: Option<Sha256>,
    hashes: Hashes,
}

impl Staging {
    /// Uses a folder, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(folder: PathBuf) -> Result<Self, StagingError> {
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        Ok(Self { folder, hashes: Hashes::default() })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of an upload.
    pub fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.part"))
    }

    /// How much of an upload is there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub async fn length(&self, id: Uuid) -> Result<u64, StagingError> {
        let path = self.path(id);
        match fs::metadata(&path).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Opens an upload to add to it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub async fn open(&self, id: Uuid) -> Result<Part, StagingError> {
        let path = self.path(id);
        let opened = path.clone();
        let open = blocking(move || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&opened)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        let (file, length) = open.await.map_err(|error| failed(&path, error))?;
        let known = match length {
            0 => Some(Progress::default()),
            _ => self.known().remove(&id).filter(|known| known.length == length),
        };
        let hash = known.map(|known| known.hash);
        Ok(Part { id, path, file: Arc::new(file), length, hash, hashes: Arc::clone(&self.hashes) })
    }

    /// The SHA-256 of an upload.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn digest(&self, id: Uuid) -> Result<[u8; 32], StagingError> {
        let length = self.length(id).await?;
        let known = self.known().get(&id).filter(|known| known.length == length).cloned();
        if let Some(known) = known {
            return Ok(known.hash.finalize().into());
        }
        let path = self.path(id);
        let read = path.clone();
        blocking(move || digest(&read)).await.map_err(|error| failed(&path, error))
    }

    /// Forgets an upload. One that is not there is forgotten already.
    pub async fn discard(&self, id: Uuid) {
        self.known().remove(&id);
        if let Err(error) = fs::remove_file(self.path(id)).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, upload = %id, "cannot remove a staging file");
        }
    }
}

impl Staging {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, Progress>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Adds to the file. What a full disk let through stays and counts. Whoever stops waiting for it does no harm: it
    /// is written where it belongs, and nowhere else.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn append(&mut self, data: Bytes) -> Result<(), StagingError> {
        let (file, at, added) = (Arc::clone(&self.file), self.length, data.len() as u64);
        let hash = self.hash.take();
        let written = blocking(move || {
            file.write_all_at(&data, at)?;
            Ok(hash.map(|hash| hash.chain_update(&data)))
        });
        self.hash = written.await.map_err(|error| failed(&self.path, error))?;
        self.length += added;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(hash) = self.hash.take() else { return };
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() >= HASHES {
            hashes.pop_first();
        }
        hashes.insert(self.id, Progress { length: self.length, hash });
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn failed(path: &Path, error: io::Error) -> StagingError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StagingError::Full(path.to_owned()),
        _ => StagingError::Io(path.to_owned(), error),
    }
}
