//! What a node is asked for a log, and what it answers.

use std::{fmt, time::Duration};

use almanac_proto::{
    convert::{FieldError, parse, timestamp},
    log::Stream,
    v1,
};
use almanac_schemas::{RunId, RunRole};
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    /// The run.
    pub run: RunId,
    /// Which of its containers.
    pub role: RunRole,
}

impl LogKey {
    /// Reads the names of a message.
    ///
    /// # Errors
    ///
    /// When they make no sense.
    pub fn read(run: &str, role: v1::Role) -> Result<Self, FieldError> {
        Ok(Self { run: parse("run_id", run)?, role: RunRole::try_from(role)? })
    }

    /// As the protocol says it.
    pub fn message(&self) -> v1::LogRequest {
        v1::LogRequest { run_id: self.run.to_string(), role: v1::Role::from(self.role).into() }
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.run, self.role)
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At a byte, where a line begins.
    Offset(u64),
    /// Where the last so many lines begin of those from an instant on.
    Lines {
        /// How many; absent: all.
        tail: Option<u32>,
        /// From which instant on.
        since: Option<DateTime<Utc>>,
        /// Which lines count.
        stream: Option<Stream>,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// From where on.
    pub from: From,
    /// At most so many bytes, but a line at least.
    pub most: u32,
    /// How long to wait for something to be there.
    pub wait: Duration,
}

impl Question {
    /// As the protocol says it.
    pub fn message(&self, id: u64) -> v1::StreamLogsResponse {
        let mut message = v1::StreamLogsResponse {
            id,
            max_bytes: self.most,
            wait: self.wait.try_into().ok(),
            ..Default::default()
        };
        match self.from {
            From::Offset(offset) => message.offset = offset,
            From::Lines { tail, since, stream } => {
                message.tail_lines = tail;
                message.since = since.map(timestamp);
                message.stream = Stream::message(stream).into();
            }
        }
        message
    }
}

/// What is answered: a part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins among all bytes that were ever written to the log.
    pub begin: u64,
    /// Whole lines.
    pub data: Bytes,
    /// How many bytes are written so far.
    pub written: u64,
    /// Whether nothing lies behind it, and nothing more is written.
    pub ended: bool,
    /// Whether there is no such log, not yet or not any more.
    pub absent: bool,
}

impl Piece {
    /// Where the next one begins.
    pub fn end(&self) -> u64 {
        self.begin.saturating_add(self.data.len() as u64)
    }
}

impl std::convert::From<v1::LogPiece> for Piece {
    fn from(piece: v1::LogPiece) -> Self {
        let v1::LogPiece { id: _, begin, data, written, ended, absent } = piece;
        Self { begin, data, written, ended, absent }
    }
}
