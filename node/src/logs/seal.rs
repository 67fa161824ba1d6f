//! Makes `run.log` the whole log when its run is over: its beginning, a notice when something was left out, its end.
//! Both parts are cut where lines begin and end.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use almanac_proto::log::{LINE, Line, Omission, Stream, stamp};
use chrono::DateTime;

use super::{
    LogFiles,
    capture::{Cut, Mark},
    extent::Extent,
};

/// How much of the beginning's end is looked at for a place where neither stream is within a line.
const SEARCH: u64 = 16 * LINE as u64;

impl LogFiles {
    /// Makes `run.log` the whole log. A log that nobody wrote is left as it is. Cut off and done again, it gives the
    /// same.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub fn seal(&self) -> io::Result<()> {
        let mark = self.read_mark()?;
        let Some(extent) = self.extent(mark.as_ref())? else { return Ok(()) };
        let mut mark = mark.unwrap_or_default();
        if !mark.sealed {
            mark = Mark { written: extent.written, limit: extent.limit, ..mark };
            let mut log =
                File::options().create(true).truncate(false).read(true).write(true).open(&self.log)?;
            let head = extent.written.min(extent.head_size());
            if mark.cut.is_none() && extent.written > head && extent.tail_start() > head {
                mark.cut = Some(self.cut(&log, &extent)?);
                // Recorded before the file is changed: done again, nothing could be told from it any more. Whoever
                // reads the log meanwhile waits for the end of this.
                self.write_mark(&mark)?;
            }
            let (end, mut next) = match &mark.cut {
                Some(cut) => (cut.from, cut.to),
                None => (head, head),
            };
            log.set_len(end)?;
            log.seek(SeekFrom::Start(end))?;
            if let Some(cut) = &mark.cut {
                log.write_all(cut.notice.as_bytes())?;
            }
            while next < extent.written {
                let offset = extent.in_tail(next);
                let length = (extent.tail_size() - offset).min(extent.written - next);
                let mut tail = File::open(self.tail())?;
                tail.seek(SeekFrom::Start(offset))?;
                io::copy(&mut tail.take(length), &mut log)?;
                next += length;
            }
            log.sync_all()?;
            mark.sealed = true;
            self.write_mark(&mark)?;
        }
        match fs::remove_file(self.tail()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What is to be left out.
    fn cut(&self, log: &File, extent: &Extent) -> io::Result<Cut> {
        let head = extent.head_size();
        let begin = head.saturating_sub(SEARCH);
        let mut end = vec![0; usize::try_from(head - begin).unwrap_or_default()];
        log.read_exact_at(&mut end, begin)?;
        let (kept, at) = closed(&end);
        let from = begin + kept as u64;
        let to = self.first_line(&File::open(self.tail())?, extent)?;
        let limit = extent.limit;
        let notice = Omission { bytes: to - from, from, limit }.line(&at);
        let notice = String::from_utf8(notice).map_err(io::Error::other)?;
        Ok(Cut { from, to, notice })
    }

    /// Where the first whole line begins in what is kept of the tail.
    pub(super) fn first_line(&self, tail: &File, extent: &Extent) -> io::Result<u64> {
        let mut next = extent.tail_start();
        // What came after a gap began a line.
        if next == extent.broken_at || next == extent.written {
            return Ok(next);
        }
        let mut buffer = [0; 4 << 10];
        while next < extent.written {
            let offset = extent.in_tail(next);
            let length = (extent.tail_size() - offset).min(extent.written - next).min(buffer.len() as u64);
            let piece = &mut buffer[..usize::try_from(length).unwrap_or_default()];
            tail.read_exact_at(piece, offset)?;
            if let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                return Ok(next + end as u64 + 1);
            }
            next += length;
        }
        Ok(extent.written)
    }
}

/// How much of the end of a log's beginning is kept, and the stamp of its last line: up to the last place where neither
/// stream is within a line, or else to the end of the last whole line.
fn closed(end: &[u8]) -> (usize, String) {
    let (mut open, mut kept, mut closed) = ([false; 2], 0, 0);
    let mut last = stamp(DateTime::UNIX_EPOCH);
    let mut at = last.clone();
    for raw in end.split_inclusive(|byte| *byte == b'\n').filter(|raw| raw.ends_with(b"\n")) {
        kept += raw.len();
        if let Some(line) = Line::parse(raw) {
            open[usize::from(line.stream == Stream::Stderr)] = !line.is_end;
            at = line.stamp.to_owned();
        }
        if open == [false; 2] {
            closed = kept;
            last.clone_from(&at);
        }
    }
    if closed > 0 { (closed, last) } else { (kept, at) }
}
