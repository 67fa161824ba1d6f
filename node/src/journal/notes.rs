//! What a journal is built anew from when it is lost: files of their own in the folder `notes`.
//!
//! ```text
//! RUN         where a run stands, and its events; until the reconciler has all of them
//! accounts    up to where each job's occurrences are settled and reported, or a little less
//! snapshot    the latest snapshot of the desired state
//! kernel      files of the host that runs have changed, and what they are to hold again
//! said-PLACE  what people said to this node, there or here
//! ```
//!
//! A note of a run is written before the journal is, so that it never knows less: a run without one has not begun. Each
//! file is replaced as a whole and has reached the disk when it is written.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use prost::Message;
use tracing::warn;

use almanac_proto::v1;
use almanac_schemas::Instant;

use crate::{run::RunKey, scheduler::Accounts, state_dir::RunDir};

use super::{Changed, JournalError, UploadFile, kernel};

const ACCOUNTS: &str = "accounts";
const SNAPSHOT: &str = "snapshot";

/// The folder of notes.
#[derive(Debug, Clone)]
pub(super) struct Notes(PathBuf);

/// All that is known of a run, in the words of the journal's columns.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Note {
    /// What is to be run, in JSON.
    #[prost(string, tag = "1")]
    pub(super) order: String,
    /// Where it stands, in JSON.
    #[prost(string, tag = "2")]
    pub(super) state: String,
    #[prost(string, tag = "3")]
    pub(super) image_digest: String,
    /// Everything that was ever to be reported of it, in order.
    #[prost(message, repeated, tag = "4")]
    pub(super) events: Vec<v1::RunEvent>,
    /// What was to be uploaded when it ended.
    #[prost(message, repeated, tag = "5")]
    pub(super) files: Vec<NotedFile>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NotedFile {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint64, tag = "2")]
    pub(super) size: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) sha256: Vec<u8>,
}

impl From<&UploadFile> for NotedFile {
    fn from(file: &UploadFile) -> Self {
        Self { name: file.name.clone(), size: file.size, sha256: file.sha256.to_vec() }
    }
}

impl Note {
    /// The number of its last event.
    pub(super) fn sequence(&self) -> i64 {
        self.events.last().map_or(0, |event| event.sequence.cast_signed())
    }
}

impl Notes {
    /// The notes beside a journal. The folder is made if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn beside(journal: &Path) -> Result<Self, JournalError> {
        let folder = journal.with_file_name("notes");
        fs::create_dir_all(&folder).map_err(|error| JournalError::Note(folder.clone(), error))?;
        Ok(Self(folder))
    }

    /// Where the files are that a run leaves for the reconciler.
    pub(super) fn outbox(&self, key: &RunKey) -> PathBuf {
        RunDir::at(self.0.with_file_name("runs").join(key.to_string())).outbox()
    }

    /// Whether there is anything.
    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// The note of a run, if it has one that can be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn run(&self, key: &RunKey) -> Result<Option<Note>, JournalError> {
        let name = key.to_string();
        let Some(bytes) = self.read(&name)? else { return Ok(None) };
        let note = Note::decode(bytes.as_slice());
        if let Err(error) = &note {
            warn!(run = name, %error, "the note of a run cannot be read, and says nothing");
        }
        Ok(note.ok())
    }

    /// All runs with a note that can be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn runs(&self) -> Result<Vec<(RunKey, Note)>, JournalError> {
        let failed = |error| JournalError::Note(self.0.clone(), error);
        let mut noted = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(key) = name.to_str().and_then(RunKey::from_text) else { continue };
            if let Some(note) = self.run(&key)? {
                noted.push((key, note));
            }
        }
        Ok(noted)
    }

    /// Writes the note of a run.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note(&self, key: &RunKey, note: &Note) -> Result<(), JournalError> {
        self.write(&key.to_string(), &note.encode_to_vec())
    }

    /// Removes the note of a run. One that stays is found at the next start.
    pub(super) fn forget(&self, key: &RunKey) {
        let path = self.0.join(key.to_string());
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "the note of a run cannot be removed");
        }
    }

    /// Up to where occurrences were settled and reported at least; nothing when that was never noted or cannot be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn accounts(&self) -> Result<Option<Accounts>, JournalError> {
        let Some(bytes) = self.read(ACCOUNTS)? else { return Ok(None) };
        let read: Result<BTreeMap<_, Instant>, _> = serde_json::from_slice(&bytes);
        match read {
            Ok(read) => Ok(Some(read.into_iter().map(|(job, settled)| (job, settled.0)).collect())),
            Err(error) => {
                warn!(%error, "the note of what is settled cannot be read");
                Ok(None)
            }
        }
    }

    /// Writes up to where occurrences are settled and reported.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note_accounts(&self, accounts: &Accounts) -> Result<(), JournalError> {
        let written: BTreeMap<_, Instant> =
            accounts.iter().map(|(job, settled)| (job, Instant(*settled))).collect();
        let text =
            serde_json::to_vec(&written).map_err(|error| JournalError::row("what is settled", error))?;
        self.write(ACCOUNTS, &text)
    }

    /// The latest snapshot and when it was written, if it can be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn snapshot(&self) -> Result<Option<(v1::Snapshot, DateTime<Utc>)>, JournalError> {
        let Some(bytes) = self.read(SNAPSHOT)? else { return Ok(None) };
        let written = fs::metadata(self.0.join(SNAPSHOT)).and_then(|metadata| metadata.modified());
        let at = written.map_or(DateTime::UNIX_EPOCH, DateTime::<Utc>::from);
        match v1::Snapshot::decode(bytes.as_slice()) {
            Ok(snapshot) => Ok(Some((snapshot, at))),
            Err(error) => {
                warn!(%error, "the note of the snapshot cannot be read; waiting for another");
                Ok(None)
            }
        }
    }

    /// Writes the latest snapshot.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note_snapshot(&self, snapshot: &v1::Snapshot) -> Result<(), JournalError> {
        self.write(SNAPSHOT, &snapshot.encode_to_vec())
    }

    /// What people said in a place, in JSON, if it was ever noted.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn said(&self, place: &str) -> Result<Option<String>, JournalError> {
        Ok(self.read(&format!("said-{place}"))?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Writes what people said in a place.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note_said(&self, place: &str, said: &str) -> Result<(), JournalError> {
        self.write(&format!("said-{place}"), said.as_bytes())
    }

    /// The files that are to be put back, as far as that can be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(super) fn changed(&self) -> Result<Vec<Changed>, JournalError> {
        let Some(bytes) = self.read(kernel::NOTE)? else { return Ok(Vec::new()) };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            warn!(%error, "the note of changed files cannot be read, and nothing of it is put back");
            Vec::new()
        }))
    }

    /// Writes the files that are to be put back.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note_changed(&self, changed: &[Changed]) -> Result<(), JournalError> {
        if changed.is_empty() {
            let path = self.0.join(kernel::NOTE);
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::Note(path, error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_vec(changed).map_err(|error| JournalError::row("changed files", error))?;
        self.write(kernel::NOTE, &text)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::Note(path, error)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let (path, unfinished) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| JournalError::Note(path.clone(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_and_what_is_torn_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::beside(&folder.path().join("journal")).unwrap();
        assert!(notes.is_empty());
        let key = RunKey::from_text("8d863d4f-9fe6-5c16-837c-10e6c0fa0321").unwrap();
        let event = v1::RunEvent { sequence: 7, ..v1::RunEvent::default() };
        let note = Note { order: "{}".to_owned(), events: vec![event], ..Note::default() };
        notes.note(&key, &note).unwrap();
        assert_eq!(notes.runs().unwrap(), [(key, note.clone())]);
        assert_eq!(note.sequence(), 7);
        let accounts = Accounts::from([("job".parse().unwrap(), DateTime::UNIX_EPOCH)]);
        notes.note_accounts(&accounts).unwrap();
        assert_eq!(notes.accounts().unwrap(), Some(accounts));
        fs::write(folder.path().join("notes").join(key.to_string()), [0xff; 9]).unwrap();
        fs::write(folder.path().join("notes/accounts"), "{").unwrap();
        assert_eq!(notes.runs().unwrap(), []);
        assert_eq!(notes.accounts().unwrap(), None);
        notes.forget(&key);
        notes.forget(&key);
        assert_eq!(notes.run(&key).unwrap(), None);
    }
}
