//! Reads a log that is stored. Places in it are those of the log as it was written: the line that says what is left
//! out says how to count on.

use std::collections::VecDeque;

use almanac_proto::log::{Line, Lines, Omission, is_stamped};
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

use crate::artifacts::ObjectError;

use super::From;

/// How much is held back of a line whose end does not come.
const LONGEST: usize = 256 << 10;

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub begin: u64,
    /// Where what comes after it begins.
    pub end: u64,
    /// Whole lines.
    pub data: Bytes,
    /// It is plain text, as agents of before wrote it.
    pub plain: bool,
}

impl Part {
    /// What of it is not before a place, where a line begins.
    fn from(self, place: u64) -> Option<Self> {
        if place <= self.begin {
            return Some(self);
        }
        let skip = usize::try_from(place - self.begin).ok().filter(|skip| *skip < self.data.len())?;
        // Of what stands for something that is left out, there is no second half.
        let is_whole = self.end - self.begin == self.data.len() as u64;
        is_whole.then(|| Self { begin: place, data: self.data.slice(skip..), ..self })
    }
}

/// Counts through a file from its beginning.
#[derive(Debug, Default)]
pub struct Count {
    /// How much of the file was counted.
    in_file: u64,
    /// The place of what comes next.
    place: u64,
    /// The beginning of a line whose end did not come yet.
    rest: Vec<u8>,
    plain: Option<bool>,
}

impl Count {
    /// Takes what comes next in the file.
    pub fn add(&mut self, data: &[u8]) -> Vec<Part> {
        self.rest.extend_from_slice(data);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // A line that has no end is plain text.
        let end = if end == 0 && self.rest.len() > LONGEST { self.rest.len() } else { end };
        let after = self.rest.split_off(end);
        let lines = std::mem::replace(&mut self.rest, after);
        self.count(lines)
    }

    /// The file has ended.
    pub fn finish(&mut self) -> Vec<Part> {
        let rest = std::mem::take(&mut self.rest);
        self.count(rest)
    }

    fn count(&mut self, lines: Vec<u8>) -> Vec<Part> {
        if lines.is_empty() {
            return Vec::new();
        }
        let plain = *self.plain.get_or_insert_with(|| !is_stamped(&lines));
        let lines = Bytes::from(lines);
        let mut parts = Vec::new();
        let (mut begin, mut at) = (0, 0);
        if !plain {
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                let omission =
                    Line::parse(line).and_then(|line| Omission::parse(&line, self.in_file + at as u64));
                if let Some(omission) = omission {
                    parts.extend(self.part(lines.slice(begin..at), plain));
                    let notice = lines.slice(at..at + line.len());
                    let end = self.place.saturating_add(omission.bytes);
                    parts.push(Part { begin: self.place, end, data: notice, plain });
                    self.place = end;
                    begin = at + line.len();
                }
                at += line.len();
            }
        }
        parts.extend(self.part(lines.slice(begin..), plain));
        self.in_file += lines.len() as u64;
        parts
    }

    fn part(&mut self, data: Bytes, plain: bool) -> Option<Part> {
        let begin = self.place;
        self.place = begin.saturating_add(data.len() as u64);
        (!data.is_empty()).then_some(Part { begin, end: self.place, data, plain })
    }
}

/// Finds where to begin in a file, which is read once for it.
///
/// # Errors
///
/// When it cannot be read.
pub async fn find(
    mut file: BoxStream<'static, Result<Bytes, ObjectError>>,
    from: From,
) -> Result<u64, ObjectError> {
    let From::Lines { tail, since, stream } = from else {
        return Ok(if let From::Offset(offset) = from { offset } else { 0 });
    };
    let tail = tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
    let mut count = Count::default();
    let mut lines: Option<Lines> = None;
    let mut add = |parts: Vec<Part>| {
        for part in parts {
            // Plain text has no instants.
            let since = since.filter(|_| !part.plain);
            lines.get_or_insert_with(|| Lines::new(tail, since, stream)).add(part.begin, &part.data);
        }
    };
    while let Some(data) = file.next().await {
        add(count.add(&data?));
    }
    add(count.finish());
    Ok(lines.map_or(count.place, |lines| lines.begin(count.place)))
}

/// A file's parts from a place on.
pub struct Parts {
    file: BoxStream<'static, Result<Bytes, ObjectError>>,
    place: u64,
    count: Count,
    ready: VecDeque<Part>,
    ended: bool,
}

impl Parts {
    /// Reads a file from its beginning, and gives what comes from a place on.
    pub fn new(file: BoxStream<'static, Result<Bytes, ObjectError>>, place: u64) -> Self {
        Self { file, place, count: Count::default(), ready: VecDeque::new(), ended: false }
    }

    /// The next part; nothing at the end.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Part>, ObjectError> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            if self.ended {
                return Ok(None);
            }
            let next = self.file.next().await.transpose()?;
            self.ended = next.is_none();
            let parts = match next {
                Some(data) => self.count.add(&data),
                None => self.count.finish(),
            };
            self.ready.extend(parts.into_iter().filter_map(|part| part.from(self.place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_proto::log::{Stream, encode};
    use futures::stream;

    use super::*;

    const STAMP: &str = "2026-11-26T04:00:00.000000000Z";

    fn lines(range: std::ops::Range<u32>) -> Vec<u8> {
        let mut lines = Vec::new();
        for number in range {
            encode(&mut lines, STAMP, Stream::Stdout, format!("{number:07}\n").as_bytes());
        }
        lines
    }

    /// Each of them.
    const SIZE: u64 = 48;

    /// A file, in pieces of so many bytes.
    fn file(content: &[u8], size: usize) -> BoxStream<'static, Result<Bytes, ObjectError>> {
        let pieces: Vec<_> = content.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces).boxed()
    }

    async fn parts(content: &[u8], size: usize, place: u64) -> Vec<Part> {
        let mut reading = Parts::new(file(content, size), place);
        let mut parts = Vec::new();
        while let Some(part) = reading.next().await.unwrap() {
            parts.push(part);
        }
        parts
    }

    #[tokio::test]
    async fn places_are_those_of_the_log_as_it_was_written() {
        let omission = Omission { bytes: 100 * SIZE, from: 10 * SIZE, limit: 1000 };
        // A run that writes the same words is not believed, before or after.
        let fake = Omission { bytes: 7, from: 7, limit: 7 }.line(STAMP);
        let content = [lines(0..10), omission.line(STAMP), lines(110..115), fake.clone()].concat();
        let end = 115 * SIZE + fake.len() as u64;
        for size in [1, 7, 100, 100_000] {
            for (place, begin) in [(0, 0), (3 * SIZE, 3), (9 * SIZE, 9), (112 * SIZE, 112)] {
                let parts = parts(&content, size, place).await;
                assert_eq!(
                    (parts[0].begin, parts.last().unwrap().end),
                    (begin * SIZE, end),
                    "{size} {place}"
                );
                let data: Vec<u8> = parts.iter().flat_map(|part| part.data.to_vec()).collect();
                assert!(content.ends_with(&data) && data.starts_with(STAMP.as_bytes()));
            }
            // Somebody who saw some of what is left out goes on behind it, and is not told that it is missing.
            assert_eq!(parts(&content, size, 50 * SIZE).await[0].begin, 110 * SIZE);
            assert_eq!(parts(&content, size, 110 * SIZE).await[0].begin, 110 * SIZE);
            assert_eq!(parts(&content, size, end).await, []);
            let tail = From::Lines { tail: Some(3), since: None, stream: None };
            assert_eq!(find(file(&content, size), tail).await.unwrap(), 113 * SIZE);
        }
    }

    #[tokio::test]
    async fn a_log_of_before_is_plain_text() {
        let content = b"one\ntwo\nno end";
        let all = parts(content, 5, 0).await;
        assert!(all.iter().all(|part| part.plain));
        assert_eq!(all.last().unwrap().end, content.len() as u64);
        let since = Some("2027-01-01T00:00:00Z".parse().unwrap());
        for size in [1, 100] {
            let from = From::Lines { tail: Some(2), since, stream: None };
            assert_eq!(find(file(content, size), from).await.unwrap(), 4);
        }
    }
}
