//! The files of one log. The first half of what is allowed goes to the beginning of `run.log`, the
//! rest round and round through a file of the other half's size, so that it holds the end. When the
//! run is over, [`LogFiles::seal`] makes one file of them.
//!
//! Where a byte goes follows from how many came before it. So a writer that was cut off goes on from
//! its last mark, and writes the same bytes over what it had written after that mark.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::place::Place;

/// A log that is being written.
#[derive(Debug)]
pub struct Capture {
    files: LogFiles,
    head: File,
    tail: File,
    mark: Mark,
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
struct Mark {
    /// All bytes that came, kept or not.
    written: u64,
    /// The limit that was in force when the log began.
    limit: u64,
    /// The last of an engine's messages that is among these bytes.
    #[serde(default)]
    place: Place,
    /// From which byte on the tail is kept, whatever its size.
    #[serde(default)]
    broken_at: u64,
    /// Whether `run.log` is complete.
    #[serde(default)]
    sealed: bool,
}

impl Mark {
    const fn head_size(&self) -> u64 {
        self.limit / 2
    }

    const fn tail_size(&self) -> u64 {
        self.limit - self.head_size()
    }

    /// The first byte that is kept of those after the head.
    fn tail_start(&self) -> u64 {
        self.head_size().max(self.written.saturating_sub(self.tail_size())).max(self.broken_at)
    }

    /// Where a byte after the head lies in the tail's file.
    const fn in_tail(&self, byte: u64) -> u64 {
        (byte - self.head_size()) % self.tail_size()
    }

    /// Bytes that are not kept.
    fn omitted(&self) -> u64 {
        if self.written > self.head_size() { self.tail_start() - self.head_size() } else { 0 }
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
        let marked = mark.written;
        Ok(Some(Capture {
            head: open(&self.log)?,
            tail: open(&self.tail())?,
            files: self.clone(),
            mark,
            marked,
        }))
    }

    /// Makes `run.log` the whole log: its beginning, a notice when something was left out, its end.
    /// A log that nobody wrote is left as it is. Cut off and done again, it gives the same.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub fn seal(&self) -> io::Result<()> {
        let Some(mark) = self.read_mark()? else { return Ok(()) };
        if !mark.sealed {
            let mut log =
                File::options().create(true).truncate(false).read(true).write(true).open(&self.log)?;
            let head = mark.written.min(mark.head_size());
            log.set_len(head)?;
            log.seek(SeekFrom::Start(head))?;
            if mark.omitted() > 0 {
                log.write_all(notice(&log, head, &mark)?.as_bytes())?;
            }
            let mut next = mark.tail_start();
            while next < mark.written {
                let offset = mark.in_tail(next);
                let length = (mark.tail_size() - offset).min(mark.written - next);
                let mut tail = File::open(self.tail())?;
                tail.seek(SeekFrom::Start(offset))?;
                io::copy(&mut tail.take(length), &mut log)?;
                next += length;
            }
            log.sync_all()?;
            self.write_mark(&Mark { sealed: true, ..mark })?;
        }
        match fs::remove_file(self.tail()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn tail(&self) -> PathBuf {
        self.folder.join("tail")
    }

    fn read_mark(&self) -> io::Result<Option<Mark>> {
        match fs::read(self.folder.join("mark.json")) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_mark(&self, mark: &Mark) -> io::Result<()> {
        let unfinished = self.folder.join("mark.json.new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(mark)?)?;
        // A mark without content would be worse than the one before it.
        file.sync_data()?;
        fs::rename(unfinished, self.folder.join("mark.json"))
    }
}

/// The line between beginning and end. It starts a line of its own, and what follows does too.
fn notice(log: &File, head: u64, mark: &Mark) -> io::Result<String> {
    let mut last = [b'\n'];
    if head > 0 {
        log.read_exact_at(&mut last, head - 1)?;
    }
    let start = if last == [b'\n'] { "" } else { "\n" };
    let (omitted, limit) = (mark.omitted(), mark.limit);
    // What the engine threw away is counted nowhere.
    let least = if mark.broken_at > 0 { "at least " } else { "" };
    Ok(format!(
        "{start}[almanac: {least}{omitted} bytes are left out here; of a log, {limit} bytes are kept]\n"
    ))
}

impl Capture {
    /// Adds to the log.
    ///
    /// # Errors
    ///
    /// When a file cannot be written. The log can be opened again, and then goes on from its last
    /// mark.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let Mark { written, .. } = self.mark;
            let (file, offset, room) = match self.mark.head_size().checked_sub(written) {
                Some(room) if room > 0 => (&self.head, written, room),
                _ => {
                    let offset = self.mark.in_tail(written);
                    (&self.tail, offset, self.mark.tail_size() - offset)
                }
            };
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            file.write_all_at(&bytes[..length], offset)?;
            self.mark.written += length as u64;
            bytes = &bytes[length..];
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

    /// What comes next does not continue what is here: something is missing in between, and `notice`
    /// says so. Then the bytes of the tail may be mixed with ones that were written after the last
    /// mark by a writer before this one, and are given up.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn break_off(&mut self, notice: &str) -> io::Result<()> {
        self.mark.broken_at = self.mark.written;
        self.write(notice.as_bytes())
    }
}

#[cfg(test)]
mod tests;
