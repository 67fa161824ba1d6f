//! Packs what a run left. Everything here blocks.
//!
//! Only regular files and folders are packed. A symbolic link is left out and never followed: it
//! could name any file of the host.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{journal::UploadFile, run::Collected, state_dir::RunDir};

/// The packed artifacts.
pub const ARCHIVE: &str = "artifacts.tar.zst";
/// What the run wrote.
pub const LOG: &str = "run.log";
/// What the run was.
pub const FACTS: &str = "run.json";

/// zstd's own default: faster than a disk, and close to the best ratio for text.
const LEVEL: i32 = 3;

/// What there is to upload.
#[derive(Debug, PartialEq, Eq)]
pub struct Packed {
    /// What became of the artifacts.
    pub collected: Collected,
    /// The files in the run's outbox folder.
    pub files: Vec<UploadFile>,
}

/// Why something could not be packed.
#[derive(Debug, Error)]
enum PackError {
    #[error("the artifacts have at least {0} bytes")]
    TooLarge(u64),
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Fills the outbox folder of an ended run. Done again after it was cut off, it gives the same.
/// Whatever cannot be packed does not keep the log from being delivered.
pub fn collect(dir: &RunDir, facts: &str, limit: Option<u64>) -> Packed {
    let outbox = dir.outbox();
    let mut failure = None;
    let mut fail = |error: PackError| {
        failure.get_or_insert(match error {
            PackError::TooLarge(size) => Collected::TooLarge { size, limit: limit.unwrap_or(u64::MAX) },
            error => Collected::Failed(crate::runtime::chain(&error)),
        });
    };
    if let Err(error) = fs::create_dir_all(&outbox) {
        fail(PackError::Write(outbox.clone(), error));
    }
    let mut files = Vec::new();
    match pack(&dir.files().artifacts, &outbox.join(ARCHIVE), limit.unwrap_or(u64::MAX)) {
        Ok(true) => match announce(&outbox, ARCHIVE) {
            Ok(file) => files.push(file),
            Err(error) => fail(error),
        },
        Ok(false) => {}
        Err(error) => {
            // A full disk is not to stay full because of half an archive.
            let _ = fs::remove_file(outbox.join(ARCHIVE));
            fail(error);
        }
    }
    let facts_path = outbox.join(FACTS);
    match fs::write(&facts_path, facts).map_err(|error| PackError::Write(facts_path, error)) {
        Ok(()) => match announce(&outbox, FACTS) {
            Ok(file) => files.push(file),
            Err(error) => fail(error),
        },
        Err(error) => fail(error),
    }
    if outbox.join(LOG).exists() {
        match announce(&outbox, LOG) {
            Ok(file) => files.push(file),
            Err(error) => fail(error),
        }
    }
    Packed { collected: failure.unwrap_or(Collected::Whole), files }
}

/// Packs a folder; `false` when there is nothing in it.
fn pack(folder: &Path, archive: &Path, limit: u64) -> Result<bool, PackError> {
    let mut entries = Vec::new();
    let mut size = 0;
    list(folder, limit, &mut size, &mut entries)?;
    if entries.is_empty() {
        return Ok(false);
    }
    let write = |error| PackError::Write(archive.to_owned(), error);
    let file = File::create(archive).map_err(write)?;
    let encoder = zstd::Encoder::new(BufWriter::new(file), LEVEL).map_err(write)?;
    let mut builder = tar::Builder::new(encoder);
    for entry in entries {
        append(&mut builder, folder, &entry, archive)?;
    }
    let finish = || {
        let mut file = builder.into_inner()?.finish()?;
        file.flush()?;
        file.get_ref().sync_all()
    };
    finish().map_err(write)?;
    Ok(true)
}

/// The folders and regular files below a folder, sorted by name, folders before what is in them.
fn list(folder: &Path, limit: u64, size: &mut u64, entries: &mut Vec<PathBuf>) -> Result<(), PackError> {
    let read = |error| PackError::Read(folder.to_owned(), error);
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(read)?,
    };
    let mut paths =
        listed.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>().map_err(read)?;
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).map_err(|error| PackError::Read(path.clone(), error))?;
        if metadata.is_dir() {
            entries.push(path.clone());
            list(&path, limit, size, entries)?;
        } else if metadata.is_file() {
            *size += metadata.len();
            if *size > limit {
                return Err(PackError::TooLarge(*size));
            }
            entries.push(path);
        }
    }
    Ok(())
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    folder: &Path,
    path: &Path,
    archive: &Path,
) -> Result<(), PackError> {
    let read = |error| PackError::Read(path.to_owned(), error);
    let name = path.strip_prefix(folder).unwrap_or(path);
    // What was listed as a file or folder may have become a link since.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file =
        File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    let write = |error| PackError::Write(archive.to_owned(), error);
    if metadata.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        return builder.append_data(&mut header, name, io::empty()).map_err(write);
    }
    header.set_size(metadata.len());
    // Exactly as many bytes as the header says, even if somebody writes on.
    let content = BufReader::new(file).take(metadata.len());
    builder.append_data(&mut header, name, content).map_err(write)
}

/// Measures a file of the outbox.
fn announce(outbox: &Path, name: &str) -> Result<UploadFile, PackError> {
    let path = outbox.join(name);
    let measure = || {
        let mut file = File::open(&path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            size += read as u64;
        }
        Ok(UploadFile { name: name.to_owned(), size, sha256: hash.finalize().into() })
    };
    measure().map_err(|error| PackError::Read(path.clone(), error))
}

#[cfg(test)]
mod tests;
