//! `runs.csv` and `runs.json`: what is in the folder of a download, for tools that load tables.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use almanac_schemas::{RunId, RunRole};

use super::place;
use crate::{
    exit::Exit,
    export,
    fetch::unwritable,
    record::{COLUMNS, Record, Stamp},
};

const JSON: &str = "runs.json";
const CSV: &str = "runs.csv";

/// How often the index is written while files come in: whatever ends the program, no more than this is missing from it,
/// and the next download puts that right.
const EVERY: Duration = Duration::from_secs(10);

/// The rows of the runs in a folder. Those of earlier downloads stay.
#[derive(Debug)]
pub struct Index {
    to: PathBuf,
    rows: BTreeMap<(Stamp, RunId, RunRole), Record>,
    /// Held while somebody downloads into the folder.
    lock: Option<File>,
    written: Instant,
}

/// Why there can be no index.
#[derive(Debug, Error)]
pub enum IndexError {
    /// There is a file of that name that is something else.
    #[error("{} is not an index that a download wrote, and would be replaced by one", .0.display())]
    Foreign(PathBuf),
    /// Somebody else writes it.
    #[error("another download into {} is under way", .0.display())]
    Busy(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It cannot be written.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl IndexError {
    /// How a command that meets it ends.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Foreign(_) | Self::Busy(_) => Exit::Usage,
            Self::Read(..) | Self::Write(..) => Exit::Failed,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Foreign(_) => "move it away, or choose another folder with `--to DIR`",
            Self::Busy(_) => "wait for its end, or choose another folder with `--to DIR`",
            Self::Write(_, error) => return Some(unwritable(error)),
            Self::Read(..) => return None,
        };
        Some(help.to_owned())
    }
}

impl Index {
    /// Reads the index of a folder, which need not be there.
    ///
    /// # Errors
    ///
    /// When there is a file of its name that is none, or another download into the folder is under way.
    pub fn open(to: &Path) -> Result<Self, IndexError> {
        let mut index =
            Self { to: to.to_owned(), rows: BTreeMap::new(), lock: None, written: Instant::now() };
        index.hold()?;
        index.read()?;
        Ok(index)
    }

    /// Makes the folder, and takes it for this download until its end. It is called before anything is written there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, another download into it is under way, or there is by now a file of the index's
    /// name that is none.
    pub fn claim(&mut self) -> Result<(), IndexError> {
        if self.lock.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.to).map_err(|error| IndexError::Write(self.to.clone(), error))?;
        self.hold()?;
        // The folder was not there when the index was opened: whoever made it since has written one.
        self.read()
    }

    /// Adds the rows that are in the folder.
    fn read(&mut self) -> Result<(), IndexError> {
        let json = self.to.join(JSON);
        match fs::read(&json) {
            Ok(text) => {
                let rows: Vec<Record> =
                    serde_json::from_slice(&text).map_err(|_| IndexError::Foreign(json))?;
                for row in rows {
                    self.rows.entry(row.key()).or_insert(row);
                }
            }
            // Also where the folder is none, which writing says better.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(IndexError::Read(json, error)),
        }
        let csv = self.to.join(CSV);
        if let Ok(file) = File::open(&csv) {
            let mut first = String::new();
            let read = io::Read::take(BufReader::new(file), 4 << 10).read_line(&mut first);
            if read.is_err() || first.trim_end() != COLUMNS.join(",") {
                return Err(IndexError::Foreign(csv));
            }
        }
        Ok(())
    }

    /// Adds a run, or what is new of it. Files that earlier downloads brought and that are still there stay with it.
    pub fn add(&mut self, mut row: Record) {
        if let Some(before) = self.rows.remove(&row.key()) {
            let known = |path: &str| row.files.iter().any(|file| file.path == path);
            let is_there = |path: &str| fs::symlink_metadata(self.to.join(path)).is_ok();
            let older: Vec<_> =
                before.files.into_iter().filter(|file| !known(&file.path) && is_there(&file.path)).collect();
            row.files.extend(older);
            row.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        self.rows.insert(row.key(), row);
    }

    /// Writes it, if it was not written lately.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep_up(&mut self) -> Result<(), IndexError> {
        if self.written.elapsed() < EVERY { Ok(()) } else { self.write() }
    }

    /// Writes it, each file as a whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Then what was there before still is.
    pub fn write(&mut self) -> Result<(), IndexError> {
        self.claim()?;
        self.replace(JSON, |out| {
            let mut json = export::Json::new(out);
            self.rows.values().try_for_each(|row| json.add(row))?;
            json.end()
        })?;
        self.replace(CSV, |out| {
            let mut csv = export::Csv::new(out)?;
            self.rows.values().try_for_each(|row| csv.add(row))?;
            csv.end()
        })?;
        self.written = Instant::now();
        Ok(())
    }

    /// How many runs are in it, in each of their roles.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn replace(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), IndexError> {
        let (path, part) = (self.to.join(name), self.to.join(format!("{name}.part")));
        let write = || {
            let mut out = BufWriter::new(place::create(&part)?);
            fill(&mut out)?;
            out.into_inner()?.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(|error| {
            // The error that matters is the first.
            let _ = fs::remove_file(&part);
            IndexError::Write(path.clone(), error)
        })
    }

    /// Takes the folder for this download, if it is there. Two that write one index would each lose the other's rows.
    fn hold(&mut self) -> Result<(), IndexError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let Ok(folder) = File::open(&self.to) else { return Ok(()) };
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(IndexError::Busy(self.to.clone())),
            // Also where the file system has no locks.
            _ => {
                self.lock = Some(folder);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_begin_with_no_folder_do_not_write_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("results");
        let (mut first, mut second) = (Index::open(&to).unwrap(), Index::open(&to).unwrap());
        first.claim().unwrap();
        let busy = |claimed| matches!(claimed, Err(IndexError::Busy(path)) if path == to);
        assert!(busy(second.claim()) && busy(second.write()));
        first.add(Record::example());
        first.write().unwrap();
        drop(first);
        second.claim().unwrap();
        assert_eq!(second.len(), 1, "what the first one wrote is not lost");
    }
}
