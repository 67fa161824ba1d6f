//! Packs what a run left, and says what of it was left out. Everything here blocks.
//!
//! A job's folder may hold anything, since anything may have been run: links to the host's files, devices, a sparse
//! file of a terabyte, a path that no program can open. None of it is followed, nothing keeps the rest from being
//! delivered, and whatever is not in the archive is named in `run.json` and in the run's record.

mod archive;
mod contents;
mod left_out;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    journal::UploadFile,
    kernel::KERNEL_LOG,
    run::Collected,
    runtime::chain,
    state_dir::{RunDir, remove},
};

use archive::Archive;
pub use left_out::{LeftOut, Why};

/// The packed artifacts.
pub const ARCHIVE: &str = "artifacts.tar.zst";
/// What the run wrote.
pub const LOG: &str = "run.log";
/// What was measured while it ran.
pub const TELEMETRY: &str = "telemetry.csv";
/// What the run was.
pub const FACTS: &str = "run.json";

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
pub(crate) enum PackError {
    #[error("the artifacts have at least {0} bytes")]
    TooLarge(u64),
    #[error("there are more than {0} files and folders")]
    TooMany(u64),
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Fills the outbox folder of an ended run. Done again after it was cut off, it gives the same.
/// Whatever cannot be packed does not keep the rest from being delivered.
///
/// `limit` is in bytes of content, and `room` in bytes of the disk. `facts` makes the text of `run.json` of what became of the rest.
pub fn collect(
    dir: &RunDir,
    limit: u64,
    room: u64,
    facts: impl FnOnce(&Collected, &[UploadFile], &LeftOut) -> io::Result<String>,
) -> Packed {
    let outbox = dir.outbox();
    let mut failures = Vec::new();
    if let Err(error) = fs::create_dir_all(&outbox) {
        failures.push(PackError::Write(outbox.clone(), error));
    }
    let mut files = Vec::new();
    let mut left_out = LeftOut::default();
    let archive = outbox.join(ARCHIVE);
    match pack(&dir.files().artifacts, &archive, limit, room) {
        Ok(packed) => {
            files.extend(packed.file);
            failures.extend(packed.failure);
            left_out = packed.left_out;
        }
        Err(error) => {
            // A full disk is not to stay full because of half an archive.
            let _ = remove(&archive);
            failures.push(error);
        }
    }
    for name in [LOG, TELEMETRY, KERNEL_LOG].into_iter().filter(|name| outbox.join(name).exists()) {
        match measure(&outbox, name) {
            Ok(file) => files.push(file),
            Err(error) => failures.push(error),
        }
    }
    let collected = collected(&failures, &left_out, limit);
    match put(&outbox, FACTS, || facts(&collected, &files, &left_out)) {
        Ok(file) => {
            files.push(file);
            Packed { collected, files }
        }
        Err(error) => Packed { collected: Collected::Failed(chain(&error)), files },
    }
}

/// What became of everything together: the first failure counts, since others are mostly of the same cause.
fn collected(failures: &[PackError], left_out: &LeftOut, limit: u64) -> Collected {
    match failures.first() {
        Some(PackError::TooLarge(size)) => Collected::TooLarge { size: *size, limit },
        Some(error) => Collected::Failed(chain(error)),
        None if left_out.is_empty() => Collected::Whole,
        None => Collected::InPart(left_out.to_string()),
    }
}

/// An archive, and what is not in it.
struct Done {
    /// Absent when there was nothing to pack.
    file: Option<UploadFile>,
    left_out: LeftOut,
    /// Something that should be in it and could not be read.
    failure: Option<PackError>,
}

/// Packs a folder.
fn pack(folder: &Path, path: &Path, limit: u64, room: u64) -> Result<Done, PackError> {
    let mut archive = Archive::new(path, room);
    let mut contents = contents::Contents::of(folder, limit);
    contents.pack_into(&mut archive)?;
    let file = archive.finish().map_err(|error| PackError::Write(path.to_owned(), error))?;
    let file = file.map(|(size, sha256)| UploadFile { name: ARCHIVE.to_owned(), size, sha256 });
    Ok(Done { file, left_out: contents.left_out, failure: contents.failure })
}

/// Writes a file of the outbox. It is on the disk before the journal says what it holds.
fn put(
    outbox: &Path,
    name: &str,
    content: impl FnOnce() -> io::Result<String>,
) -> Result<UploadFile, PackError> {
    let path = outbox.join(name);
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(content()?.as_bytes())?;
        file.sync_all()?;
        File::open(outbox)?.sync_all()
    };
    write().map_err(|error| PackError::Write(path.clone(), error))?;
    measure(outbox, name)
}

/// Measures a file of the outbox.
fn measure(outbox: &Path, name: &str) -> Result<UploadFile, PackError> {
    let path = outbox.join(name);
    let measured = File::open(&path).and_then(archive::measure);
    let (size, sha256) = measured.map_err(|error| PackError::Read(path, error))?;
    Ok(UploadFile { name: name.to_owned(), size, sha256 })
}

#[cfg(test)]
mod tests;
