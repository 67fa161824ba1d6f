//! The folder in which uploads arrive.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
};
use uuid::Uuid;

/// The folder in which uploads arrive, a file each.
#[derive(Debug, Clone)]
pub struct Staging(PathBuf);

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

/// A staging file that parts are added to.
#[derive(Debug)]
pub struct Part {
    file: File,
    path: PathBuf,
    /// How many bytes are there.
    pub length: u64,
}

impl Staging {
    /// Uses a folder, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(folder: PathBuf) -> Result<Self, StagingError> {
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        Ok(Self(folder))
    }

    /// The file of an upload.
    pub fn path(&self, id: Uuid) -> PathBuf {
        self.0.join(format!("{id}.part"))
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
        let open = async {
            let file = OpenOptions::new().create(true).append(true).open(&path).await?;
            let length = file.metadata().await?.len();
            Ok((file, length))
        };
        let (file, length) = open.await.map_err(|error| failed(&path, error))?;
        Ok(Part { file, path, length })
    }

    /// The SHA-256 of an upload.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn digest(&self, id: Uuid) -> Result<[u8; 32], StagingError> {
        let path = self.path(id);
        let read = path.clone();
        tokio::task::spawn_blocking(move || digest(&read))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| failed(&path, error))
    }

    /// Forgets an upload. One that is not there is forgotten already.
    pub async fn discard(&self, id: Uuid) {
        if let Err(error) = fs::remove_file(self.path(id)).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, upload = %id, "cannot remove a staging file");
        }
    }
}

impl Part {
    /// Adds to the file. What a full disk let through stays and counts.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn append(&mut self, data: &[u8]) -> Result<(), StagingError> {
        let written = async {
            self.file.write_all(data).await?;
            self.file.flush().await
        };
        match written.await {
            Ok(()) => {
                self.length += data.len() as u64;
                Ok(())
            }
            Err(error) => Err(failed(&self.path, error)),
        }
    }
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = std::fs::File::open(path)?;
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
