//! The format of `run.log`: that of the logs of Kubernetes' container runtimes (CRI), a line for each line that was
//! written or for each piece of one: `2026-11-26T04:00:00.123456789Z stdout F text`. The tag `F` ends a line, `P` is
//! a piece that its stream's next one continues. The text is as it was written, byte by byte.

mod lines;

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::v1;

pub use lines::Lines;

/// The most bytes of text in one line; of longer ones, pieces. It is what container engines keep in one piece.
pub const PIECE: usize = 16 << 10;

/// The most bytes of a line of the file: stamp, stream, tag, text and newline.
pub const LINE: usize = HEAD + PIECE + 1;

/// The bytes before the text: a stamp of 30, the stream's name, the tag, and a space after each.
pub const HEAD: usize = 40;

/// What a run writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The one that a message names, if any.
    pub const fn from_message(stream: v1::LogStream) -> Option<Self> {
        match stream {
            v1::LogStream::Unspecified => None,
            v1::LogStream::Stdout => Some(Self::Stdout),
            v1::LogStream::Stderr => Some(Self::Stderr),
        }
    }

    /// As the protocol says it.
    pub const fn message(stream: Option<Self>) -> v1::LogStream {
        match stream {
            None => v1::LogStream::Unspecified,
            Some(Self::Stdout) => v1::LogStream::Stdout,
            Some(Self::Stderr) => v1::LogStream::Stderr,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, as the file says it.
    pub stamp: &'a str,
    /// What it was written to.
    pub stream: Stream,
    /// Whether it ends the line that was written.
    pub is_end: bool,
    /// What was written, without the newline.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line of the file, with or without its newline; `None` when it is none.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let stamp = str::from_utf8(words.next()?).ok()?;
        // A plain text may well begin with a word and `stdout`; hardly with an instant before it.
        stamp.as_bytes().first().filter(|byte| byte.is_ascii_digit())?;
        DateTime::parse_from_rfc3339(stamp).ok()?;
        let stream = match words.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Further tags may follow the first after a colon.
        let is_end = match words.next()?.split(|byte| *byte == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { stamp, stream, is_end, text: words.next()? })
    }

    /// When it was written.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.stamp).ok().map(|at| at.to_utc())
    }

    /// Whether Almanac itself says something here. It looks like something that the run wrote to its standard
    /// error, since readers of this format know two streams alone.
    pub fn is_ours(&self) -> bool {
        self.stream == Stream::Stderr
            && self.is_end
            && self.text.starts_with(OURS)
            && self.text.ends_with(b"]")
    }
}

/// How lines begin in which Almanac says something.
const OURS: &[u8] = b"[almanac: ";

/// An instant as a stamp: of 30 bytes always, so that the same lines take the same room.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Adds what was written to a stream, as lines of the file. What does not end with a newline ends in a piece that the
/// stream's next one continues.
pub fn encode(into: &mut Vec<u8>, stamp: &str, stream: Stream, content: &[u8]) {
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let (mut text, ends) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        while text.len() > PIECE {
            let (piece, rest) = text.split_at(PIECE);
            put(into, stamp, stream, false, piece);
            text = rest;
        }
        put(into, stamp, stream, ends, text);
    }
}

fn put(into: &mut Vec<u8>, stamp: &str, stream: Stream, is_end: bool, text: &[u8]) {
    into.extend_from_slice(stamp.as_bytes());
    into.push(b' ');
    into.extend_from_slice(stream.as_str().as_bytes());
    into.extend_from_slice(if is_end { b" F " } else { b" P " });
    into.extend_from_slice(text);
    into.push(b'\n');
}

/// Adds a line in which Almanac says something.
pub fn say(into: &mut Vec<u8>, stamp: &str, words: &str) {
    let text = format!("[almanac: {words}]\n");
    encode(into, stamp, Stream::Stderr, text.as_bytes());
}

/// What both streams wrote, in the order in which it is in a log, without stamps; of a log of before, all of it.
pub fn plain(log: &[u8]) -> Vec<u8> {
    let lines = || log.split_inclusive(|byte| *byte == b'\n').map(|line| (line, Line::parse(line)));
    if !is_stamped(log) {
        return log.to_vec();
    }
    let mut text = Vec::with_capacity(log.len());
    for (raw, line) in lines() {
        match line {
            Some(line) => {
                text.extend_from_slice(line.text);
                text.extend_from_slice(if line.is_end { b"\n" } else { b"" });
            }
            None => text.extend_from_slice(raw),
        }
    }
    text
}

/// Whether a log is in this format, by its beginning. Agents of before wrote plain text.
pub fn is_stamped(beginning: &[u8]) -> bool {
    let first = beginning.split_inclusive(|byte| *byte == b'\n').next();
    first.is_none_or(|line| Line::parse(line).is_some())
}

/// What a line says that stands where a part of a log is left out. It says where in the file it stands, so that
/// nothing that a run writes is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Omission {
    /// How many bytes are left out.
    pub bytes: u64,
    /// From which byte of the log on; this line is at the same byte of the file.
    pub from: u64,
    /// How many bytes of a log are kept.
    pub limit: u64,
}

impl Omission {
    /// The line that says so.
    pub fn line(&self, stamp: &str) -> Vec<u8> {
        let Self { bytes, from, limit } = self;
        let mut line = Vec::new();
        let words =
            format!("{bytes} bytes are left out here, from byte {from} on; of a log, {limit} bytes are kept");
        say(&mut line, stamp, &words);
        line
    }

    /// What a line says that is at a byte of the file; `None` where it is another line.
    pub fn parse(line: &Line<'_>, at: u64) -> Option<Self> {
        if !line.is_ours() {
            return None;
        }
        let words = str::from_utf8(line.text).ok()?.strip_prefix("[almanac: ")?;
        let (bytes, rest) = words.split_once(" bytes are left out here, from byte ")?;
        let (from, rest) = rest.split_once(" on; of a log, ")?;
        let limit = rest.strip_suffix(" bytes are kept]")?;
        let number = |text: &str| text.parse::<u64>().ok();
        let omission = Self { bytes: number(bytes)?, from: number(from)?, limit: number(limit)? };
        Some(omission)
            .filter(|omission| omission.from == at && omission.from.checked_add(omission.bytes).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-11-26T04:00:00.123456789Z";

    fn encoded(content: &[u8]) -> Vec<u8> {
        let mut log = Vec::new();
        encode(&mut log, STAMP, Stream::Stdout, content);
        log
    }

    #[test]
    fn what_was_written_comes_back_byte_by_byte() {
        let every: Vec<u8> = (0..=255).collect();
        let long = [&[b'x'; 3 * PIECE + 1][..], b"\n"].concat();
        for content in [&b"one\ntwo\n"[..], b"", b"\n\n", b"no end", b"a\r\nb\r", b"\xff\0\n", &every, &long]
        {
            let log = encoded(content);
            assert_eq!(plain(&log), content);
            for line in log.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.len() <= LINE && Line::parse(line).is_some());
            }
        }
        assert_eq!(
            encoded(b"text\nrest"),
            [STAMP, " stdout F text\n", STAMP, " stdout P rest\n"].concat().as_bytes()
        );
    }

    #[test]
    fn a_stamp_has_one_length() {
        for text in ["2026-11-26T04:00:00Z", "2026-11-26T04:00:00.5+01:00"] {
            assert_eq!(stamp(DateTime::parse_from_rfc3339(text).unwrap().to_utc()).len(), 30);
        }
        assert_eq!(encoded(b"x\n").len(), HEAD + 2);
    }

    #[test]
    fn what_other_runtimes_write_is_read_as_well() {
        let line = Line::parse(b"2016-10-06T00:17:09.66+02:00 stderr P:x a b\n").unwrap();
        assert_eq!((line.stream, line.is_end, line.text), (Stream::Stderr, false, &b"a b"[..]));
        for other in [
            "",
            "64 bytes from 192.0.2.1",
            "2026-11-26T04:00:00Z stdlog F x",
            "2026-11-26T04:00:00Z stdout F",
        ] {
            assert_eq!(Line::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(plain(b"64 bytes from 192.0.2.1\n"), b"64 bytes from 192.0.2.1\n");
    }

    #[test]
    fn what_is_left_out_is_known_by_its_place() {
        let omission = Omission { bytes: 100, from: 4000, limit: 8192 };
        let line = omission.line(STAMP);
        let line = Line::parse(&line).unwrap();
        assert!(line.is_ours());
        assert_eq!(Omission::parse(&line, 4000), Some(omission));
        assert_eq!(Omission::parse(&line, 4001), None, "a run wrote it");
    }
}
