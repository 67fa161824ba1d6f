//! Reads a log while it is written, and after. What is read is in whole lines, and is known by where it begins among
//! all bytes that were ever written to the log: that never changes, whoever is killed and whatever is left out.

use std::{fs::File, io, os::unix::fs::FileExt};

use almanac_proto::log::{LINE, Lines, Stream};
use chrono::{DateTime, Utc};

use super::{LogFiles, capture::Mark, extent::Extent};

/// How much is read at once while a place is looked for.
const STEP: usize = 256 << 10;

/// How often a piece is read again that was written over meanwhile. Each time the writer has gone round the tail.
const ATTEMPTS: u32 = 8;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At a byte, where a line begins.
    Offset(u64),
    /// Where the last so many lines begin of those from an instant on.
    Lines {
        /// How many; absent: all.
        tail: Option<usize>,
        /// From which instant on.
        since: Option<DateTime<Utc>>,
        /// Which lines count.
        stream: Option<Stream>,
    },
}

/// A part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins. What lies between what was asked for and this is not kept.
    pub begin: u64,
    /// Whole lines.
    pub data: Vec<u8>,
    /// How many bytes are written so far.
    pub written: u64,
    /// Whether nothing lies behind this, and nothing more is written.
    pub ended: bool,
}

impl Piece {
    /// Where the next one begins.
    pub fn end(&self) -> u64 {
        self.begin + self.data.len() as u64
    }
}

/// What is known of a log before it is read.
enum State {
    /// Nobody has begun it.
    None,
    /// It is written.
    Open(Extent),
    /// One file is being made of it, in a moment.
    Sealing(u64),
    /// It is one file.
    Sealed(Mark),
}

impl LogFiles {
    /// Reads from a place on, at most so many bytes, but a line at least. Where nothing is there yet, the piece is
    /// empty.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, as when the log was removed.
    pub fn read(&self, from: From, most: usize) -> io::Result<Piece> {
        let offset = match from {
            From::Offset(offset) => offset,
            From::Lines { tail, since, stream } => self.find(tail, since, stream)?,
        };
        self.read_at(offset, most.max(LINE))
    }

    fn read_at(&self, from: u64, most: usize) -> io::Result<Piece> {
        for _ in 0..ATTEMPTS {
            match self.state()? {
                State::None => break,
                State::Sealing(written) => return Ok(Piece { begin: from, written, ..Piece::default() }),
                State::Sealed(mark) => return self.read_sealed(&mark, from, most),
                State::Open(extent) => match self.read_open(&extent, from, most) {
                    Ok(Some(piece)) => return Ok(piece),
                    Ok(None) => {}
                    // The tail is gone when the log was sealed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.log.exists() => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(Piece { begin: from, ..Piece::default() })
    }

    fn state(&self) -> io::Result<State> {
        let mark = self.read_mark()?;
        let extent = self.extent(mark.as_ref())?;
        Ok(match (mark, extent) {
            (Some(mark), _) if mark.sealed => State::Sealed(mark),
            (Some(mark), _) if mark.cut.is_some() => State::Sealing(mark.written),
            (_, Some(extent)) => State::Open(extent),
            (_, None) => State::None,
        })
    }

    /// Reads what is being written; nothing when it was written over or sealed meanwhile.
    fn read_open(&self, extent: &Extent, from: u64, most: usize) -> io::Result<Option<Piece>> {
        let written = extent.written;
        let nothing = Piece { begin: from, written, ..Piece::default() };
        if from >= written {
            return Ok(Some(nothing));
        }
        let (head, tail) = (extent.head_size(), extent.tail_start());
        // All that follows the beginning without a gap.
        let whole = if tail > head && written > head { head } else { written };
        let mut begin = from;
        let mut data = Vec::new();
        if from < whole {
            data = self.bytes(extent, begin, whole, most)?;
        }
        if data.is_empty() && whole < written {
            begin = from;
            if from < tail {
                begin = self.first_line(&File::open(self.tail())?, extent)?;
            }
            data = self.bytes(extent, begin, written, most)?;
        }
        let now = match self.state()? {
            State::Open(now) => now,
            _ => return Ok(None),
        };
        // Of the tail, what is read must still have been there when it was.
        if begin + data.len() as u64 > head && begin.max(head) < now.tail_start() {
            return Ok(None);
        }
        Ok(Some(Piece { begin, data, written, ended: false }))
    }

    /// The bytes between two places, at most so many, up to the end of their last whole line.
    fn bytes(&self, extent: &Extent, begin: u64, end: u64, most: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(end - begin).unwrap_or(usize::MAX).min(most);
        let mut data = vec![0; length];
        let mut done = 0;
        while done < length {
            let at = begin + done as u64;
            let head = extent.head_size();
            let (file, offset, room) = if at < head {
                (File::open(&self.log)?, at, head - at)
            } else {
                let offset = extent.in_tail(at);
                (File::open(self.tail())?, offset, extent.tail_size() - offset)
            };
            let piece = usize::try_from(room).unwrap_or(usize::MAX).min(length - done);
            file.read_exact_at(&mut data[done..done + piece], offset)?;
            done += piece;
        }
        whole_lines(&mut data);
        Ok(data)
    }

    fn read_sealed(&self, mark: &Mark, from: u64, most: usize) -> io::Result<Piece> {
        let written = mark.written;
        if from >= written {
            return Ok(Piece { begin: from, written, ended: true, ..Piece::default() });
        }
        let file = File::open(&self.log)?;
        let (begin, offset, end) = match &mark.cut {
            Some(cut) if from < cut.from => (from, from, cut.from),
            Some(cut) => {
                let begin = from.max(cut.to);
                (begin, begin - cut.to + cut.from + cut.notice.len() as u64, written)
            }
            None => (from, from, written),
        };
        let length = usize::try_from(end - begin).unwrap_or(usize::MAX).min(most);
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, offset)?;
        // What was written last may be no whole line, as when the disk was full.
        let rest = data.len() as u64 == written - begin;
        if !rest {
            whole_lines(&mut data);
        }
        let ended = begin + data.len() as u64 == written;
        Ok(Piece { begin, data, written, ended })
    }

    /// Where to begin to read some last lines.
    fn find(
        &self,
        tail: Option<usize>,
        since: Option<DateTime<Utc>>,
        stream: Option<Stream>,
    ) -> io::Result<u64> {
        let mut lines = Lines::new(tail, since, stream);
        let mut next = 0;
        loop {
            let piece = self.read_at(next, STEP)?;
            lines.add(piece.begin, &piece.data);
            next = piece.end();
            if piece.data.is_empty() || piece.ended {
                return Ok(lines.begin(next));
            }
        }
    }
}

/// Cuts off what follows the last whole line.
fn whole_lines(data: &mut Vec<u8>) {
    let end = data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    data.truncate(end);
}

#[cfg(test)]
mod tests;
