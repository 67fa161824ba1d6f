//! Where the last lines of a log begin, and those from an instant on.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::{Line, Stream};

/// Finds where to begin, of lines that come one after the other.
#[derive(Debug)]
pub struct Lines {
    tail: Option<usize>,
    since: Option<DateTime<Utc>>,
    stream: Option<Stream>,
    /// Whether a line of the instant or a later one came.
    begun: bool,
    /// Where the last lines begin.
    starts: VecDeque<u64>,
    /// Whether each stream is within a line.
    open: [bool; 2],
}

impl Lines {
    /// Nothing came yet.
    pub fn new(tail: Option<usize>, since: Option<DateTime<Utc>>, stream: Option<Stream>) -> Self {
        Self { tail, since, stream, begun: false, starts: VecDeque::new(), open: [false; 2] }
    }

    /// Lines came that begin at a byte.
    pub fn add(&mut self, mut at: u64, data: &[u8]) {
        for raw in data.split_inclusive(|byte| *byte == b'\n') {
            self.line(at, Line::parse(raw));
            at += raw.len() as u64;
        }
    }

    fn line(&mut self, at: u64, line: Option<Line<'_>>) {
        if let (Some(since), false) = (self.since, self.begun)
            && line.and_then(|line| line.at()).is_none_or(|at| at < since)
        {
            return;
        }
        self.begun = true;
        if let Some(line) = line {
            let open = &mut self.open[usize::from(line.stream == Stream::Stderr)];
            let continues = std::mem::replace(open, !line.is_end);
            if continues || self.stream.is_some_and(|stream| stream != line.stream) {
                return;
            }
        }
        let most = self.tail.unwrap_or(1);
        if self.tail.is_none() && !self.starts.is_empty() {
            return;
        }
        self.starts.push_back(at);
        if self.starts.len() > most {
            self.starts.pop_front();
        }
    }

    /// Where to begin, when everything up to a byte has come.
    pub fn begin(&self, end: u64) -> u64 {
        self.starts.front().copied().unwrap_or(end)
    }
}
