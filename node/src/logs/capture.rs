//! The files of one log. The first half of what is allowed goes to the beginning of `run.log`, the
//! rest round and round through a file of the other half's size, so that it holds the end. When the
//! run is over, [`LogFiles::seal`](super::LogFiles::seal) makes one file of them.
//!
//! Where a byte goes follows from how many came before it. So a writer that was cut off goes on from
//! its last mark, and writes the same bytes over what it had written after that mark.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    extent::{self, Counter, Extent},
    place::Place,
};

/// A log that is being written.
#[derive(Debug)]
pub struct Capture {
    files: LogFiles,
    head: File,
    tail: File,
    counter: Counter,
    mark: Mark,
    /// How far it is written, by this writer and by those before it.
    extent: Extent,
    /// Whether a writer before this one said how far it came.
    goes_on: bool,
    /// How many bytes there were at the last mark on the disk.
    marked: u64,
}

/// Where the files of a log are, and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFiles {
    /// The beginning; in the end all of it.
    pub log: PathBuf,
    /// The folder of the end and of the mark.
    pub folder: PathBuf,
    /// The most bytes that are kept.
    pub limit: u64,
}

/// How far the log is written, as it is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    /// All bytes that came, kept or not.
    pub(super) written: u64,
    /// The limit that was in force when the log began.
    pub(super) limit: u64,
    /// The last of an engine's messages that is among these bytes.
    #[serde(default)]
    pub(super) place: Place,
    /// From which byte on the tail is kept, whatever its size.
    #[serde(default)]
    pub(super) broken_at: u64,
    /// What is left out of `run.log`, once that is decided.
    #[serde(default)]
    pub(super) cut: Option<Cut>,
    /// Whether `run.log` is complete.
    #[serde(default)]
    pub(super) sealed: bool,
}

/// What is left out of a sealed log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cut {
    /// From which byte on.
    pub(super) from: u64,
    /// Up to which byte.
    pub(super) to: u64,
    /// The line that stands in its place.
    pub(super) notice: String,
}

impl Mark {
    /// How far the log is written, where nothing but the mark says so.
    pub(super) const fn extent(&self) -> Extent {
        let Self { limit, written, broken_at, .. } = *self;
        Extent { limit, written, reserved: written, broken_at }
    }
}

impl LogFiles {
    /// Goes on with a log, from its last mark on; `None` when it is sealed.
    ///
    /// # Errors
    ///
    /// When a file cannot be made or read.
    pub fn open(&self) -> io::Result<Option<Capture>> {
        let mark = match self.read_mark()? {
            Some(mark) if mark.sealed => return Ok(None),
            Some(mark) => mark,
            // At least a byte for each half, or there is nowhere to write.
            None => Mark { limit: self.limit.max(2), ..Mark::default() },
        };
        fs::create_dir_all(&self.folder)?;
        let open = |path: &Path| File::options().create(true).truncate(false).write(true).open(path);
        let (counter, before) = Counter::open(&self.extent_file())?;
        let before = before.filter(|extent| extent.limit == mark.limit && extent.written >= mark.written);
        let goes_on = before.is_some();
        let extent = before.unwrap_or(mark.extent());
        counter.say(&extent)?;
        let marked = mark.written;
        Ok(Some(Capture {
            head: open(&self.log)?,
            tail: open(&self.tail())?,
            files: self.clone(),
            counter,
            mark,
            extent,
            goes_on,
            marked,
        }))
    }

    pub(super) fn tail(&self) -> PathBuf {
        self.folder.join("tail")
    }

    fn extent_file(&self) -> PathBuf {
        self.folder.join("extent")
    }

    /// How far a log is written that is not sealed; `None` when nobody has begun it.
    pub(super) fn extent(&self, mark: Option<&Mark>) -> io::Result<Option<Extent>> {
        let counted = extent::read(&self.extent_file())?;
        let marked = mark.map(Mark::extent);
        Ok(match (counted, marked) {
            // Agents of before wrote marks alone.
            (Some(counted), Some(marked)) if counted.written < marked.written => Some(marked),
            (counted, marked) => counted.or(marked),
        })
    }

    pub(super) fn read_mark(&self) -> io::Result<Option<Mark>> {
        match fs::read(self.folder.join("mark.json")) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write_mark(&self, mark: &Mark) -> io::Result<()> {
        let unfinished = self.folder.join("mark.json.new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(mark)?)?;
        // A mark without content would be worse than the one before it.
        file.sync_data()?;
        fs::rename(unfinished, self.folder.join("mark.json"))
    }
}

impl Capture {
    /// Adds whole lines to the log.
    ///
    /// # Errors
    ///
    /// When a file cannot be written. The log can be opened again, and then goes on from its last
    /// mark.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begin = self.mark.written;
        self.put(bytes).inspect_err(|_| {
            // Half a line would spoil the next one, too: that is written over it.
            self.mark.written = begin;
        })
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // Said first, so that whoever reads the tail knows what is about to be gone.
        let end = self.mark.written + bytes.len() as u64;
        if end > self.extent.reserved {
            self.extent.reserved = end;
            self.counter.say(&self.extent)?;
        }
        while !bytes.is_empty() {
            let written = self.mark.written;
            let (file, offset, room) = match self.extent.head_size().checked_sub(written) {
                Some(room) if room > 0 => (&self.head, written, room),
                _ => {
                    let offset = self.extent.in_tail(written);
                    (&self.tail, offset, self.extent.tail_size() - offset)
                }
            };
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            file.write_all_at(&bytes[..length], offset)?;
            self.mark.written += length as u64;
            bytes = &bytes[length..];
        }
        if self.mark.written > self.extent.written {
            self.extent.written = self.mark.written;
            self.counter.say(&self.extent)?;
        }
        Ok(())
    }

    /// The last of an engine's messages that is written.
    pub const fn place(&mut self) -> &mut Place {
        &mut self.mark.place
    }

    /// Whether there is a mark with something before it.
    pub const fn is_marked(&self) -> bool {
        self.marked > 0
    }

    /// Bytes that were written since the last mark.
    pub const fn unmarked(&self) -> u64 {
        self.mark.written - self.marked
    }

    /// Records how far the log is written. The bytes reach the disk before the record of them.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn mark(&mut self) -> io::Result<()> {
        self.head.sync_data()?;
        self.tail.sync_data()?;
        self.files.write_mark(&self.mark)?;
        self.marked = self.mark.written;
        Ok(())
    }

    /// What comes next does not continue what is here: something is missing in between, and `notice`, whole lines,
    /// says so. What a writer before this one wrote after the last mark stays, since somebody may have read it.
    /// Where the host was booted meanwhile, nobody knows how far that one came; then the bytes of the tail may be
    /// mixed with its ones, and are given up.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn break_off(&mut self, notice: &[u8]) -> io::Result<()> {
        self.mark.written = self.extent.written;
        if !self.goes_on {
            self.mark.broken_at = self.mark.written;
            self.extent.broken_at = self.mark.broken_at;
            self.counter.say(&self.extent)?;
        }
        self.write(notice)
    }
}

#[cfg(test)]
mod tests;
