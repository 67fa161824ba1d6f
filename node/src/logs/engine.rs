//! Takes a container's log from its engine. The engine keeps a bounded copy of its own, which bridges
//! the time when no agent reads; here is remembered which of its messages are written.

use std::{collections::HashMap, io, time::Duration};

use almanac_proto::log::{self, Stream};
use bollard::{container::LogOutput, models::HostConfigLogConfig, query_parameters::LogsOptionsBuilder};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt, StreamExt};
use thiserror::Error;
use tokio::{
    task,
    time::{self, Instant},
};

use crate::{clock, container::ContainerName};

use super::{
    Capture, LogFiles, Reading,
    place::{Place, Search},
};

/// How much is written at once, unless the engine has no more. One of its messages more may come on top.
const BATCH: usize = 256 << 10;

/// When what is written is marked: after so many bytes, so long, or when nothing came for a while. What
/// came later is read from the engine again, as long as it has it; each mark waits for the disk.
const MARK_BYTES: u64 = 4 << 20;
const MARK_TIME: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(1);

/// What is said in the log where the engine threw something away before it was read.
const GAP: &str = "the engine kept no more of the log; some of it is missing here";

/// The most that an engine writes to a log in a nanosecond, in bytes. No disk is that fast.
const BYTES_PER_NANO: u64 = 1;

/// The engine's own copy of the log: two files of this size at most. It bridges the time when no agent
/// reads, or when one reads more slowly than a container writes.
///
/// The driver `local` keeps every byte; `json-file`, for engines that do not have it, keeps text.
pub fn copy(has_local: bool, limit: u64) -> HostConfigLogConfig {
    let mut config = HashMap::from([
        ("max-size".to_owned(), file_size(limit).to_string()),
        // With the one that is being written, there is always a whole one.
        ("max-file".to_owned(), "2".to_owned()),
    ]);
    if has_local {
        // Compressing costs a small machine more than it saves.
        config.insert("compress".to_owned(), "false".to_owned());
    }
    let driver = if has_local { "local" } else { "json-file" };
    HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }
}

/// The size of one of the engine's two files.
const fn file_size(limit: u64) -> u64 {
    if limit < SMALLEST_FILE { SMALLEST_FILE } else { limit }
}

/// A file that holds a few of the engine's longest messages.
const SMALLEST_FILE: u64 = 256 << 10;

/// Why a log is incomplete.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The engine does not give it.
    #[error("cannot read the container's log")]
    Engine(#[source] bollard::errors::Error),
    /// A file cannot be written.
    #[error("cannot write the log")]
    Disk(#[source] io::Error),
}

/// Takes what is new of a container's log. It may be dropped at any instant: what it has not marked
/// is taken again, to the same place.
///
/// # Errors
///
/// When the engine does not answer or a file cannot be written.
pub async fn read(
    client: &bollard::Docker,
    name: &ContainerName,
    files: &LogFiles,
    reading: Reading,
) -> Result<(), ReadError> {
    let opened = files.clone();
    let Some(capture) = on_disk(move || opened.open()).await? else { return Ok(()) };
    let shortest_skip = TimeDelta::nanoseconds((file_size(files.limit) / BYTES_PER_NANO).cast_signed());
    let mut reader =
        Reader { client, name, capture: Some(capture), marked_at: Instant::now(), shortest_skip };
    loop {
        let place = reader.capture()?.place().clone();
        if reading == Reading::Now || !place.is_start() {
            let read = reader.pass(Reading::Now, Search::new(&place)).await?;
            if read == Pass::NotFound {
                let mut notice = Vec::new();
                log::say(&mut notice, &log::stamp(clock::now()), GAP);
                reader.write(move |capture| capture.break_off(&notice)).await?;
                reader.pass(Reading::Now, Search::new(&Place::default())).await?;
            }
        }
        if reading == Reading::Now {
            break;
        }
        let place = reader.capture()?.place().clone();
        if reader.pass(reading, Search::new(&place)).await? != Pass::Doubtful {
            break;
        }
    }
    reader.write(Capture::mark).await
}

struct Reader<'a> {
    client: &'a bollard::Docker,
    name: &'a ContainerName,
    /// Absent while a thread writes to it.
    capture: Option<Capture>,
    marked_at: Instant,
    /// How long a container writes at least to what the engine may skip.
    shortest_skip: TimeDelta,
}

/// How reading the engine's copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What was new is taken.
    Taken,
    /// The place where to go on is not there any more.
    NotFound,
    /// The engine may have left something out, or said it twice.
    Doubtful,
}

impl Reader<'_> {
    /// Reads the engine's copy from its start and takes what is new.
    async fn pass(&mut self, reading: Reading, mut search: Search) -> Result<Pass, ReadError> {
        let follow = reading == Reading::ToTheEnd;
        let options =
            LogsOptionsBuilder::new().follow(follow).stdout(true).stderr(true).timestamps(true).build();
        let mut messages = self.client.logs(self.name.as_str(), Some(options));
        let mut order = Order { shortest_skip: self.shortest_skip, last: [None; 2], newest: None };
        let mut doubtful = false;
        while !doubtful {
            let first = if self.capture()?.unmarked() == 0 {
                messages.next().await
            } else if let Ok(first) = time::timeout(QUIET, messages.next()).await {
                first
            } else {
                self.write(Capture::mark).await?;
                continue;
            };
            let Some(first) = first else { break };
            let now = clock::now();
            let mut bytes = Vec::new();
            let mut next = Some(first);
            let mut failure = None;
            while let Some(message) = next {
                match message.and_then(Message::read) {
                    Ok(message) if search.is_new(message.stream, &message.stamp) => {
                        doubtful = follow && !order.continues(&message, now);
                        if doubtful {
                            break;
                        }
                        let Message { stream, stamp, content } = message;
                        if let Some(before) = self.capture()?.place().take(stream, &stamp, &content) {
                            log::encode(&mut bytes, &exact(&before), stream, b"\n");
                        }
                        log::encode(&mut bytes, &exact(&stamp), stream, &content);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failure = Some(ReadError::Engine(error));
                        break;
                    }
                }
                next = if bytes.len() < BATCH { messages.next().now_or_never().flatten() } else { None };
            }
            self.add(bytes).await?;
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(match (doubtful, search.found()) {
            (true, _) => Pass::Doubtful,
            (false, true) => Pass::Taken,
            (false, false) => Pass::NotFound,
        })
    }

    /// Writes what was taken, and marks it when that is due.
    async fn add(&mut self, bytes: Vec<u8>) -> Result<(), ReadError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let is_time = self.marked_at.elapsed() >= MARK_TIME;
        let marked = self.write(move |capture| {
            capture.write(&bytes)?;
            // Without any mark nobody would notice that the engine threw away what was read.
            let is_due = is_time || !capture.is_marked() || capture.unmarked() >= MARK_BYTES;
            if is_due {
                capture.mark()?;
            }
            Ok(is_due)
        });
        if marked.await? {
            self.marked_at = Instant::now();
        }
        Ok(())
    }

    fn capture(&mut self) -> Result<&mut Capture, ReadError> {
        self.capture.as_mut().ok_or_else(|| ReadError::Disk(io::Error::other("writing it ended early")))
    }

    /// Writes on a thread that may wait for the disk.
    async fn write<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Capture) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.capture()?;
        let mut capture = self.capture.take();
        let (capture, done) = on_disk(move || {
            let done = capture.as_mut().map_or_else(|| Err(io::ErrorKind::NotFound.into()), act);
            Ok((capture, done))
        })
        .await?;
        self.capture = capture;
        done.map_err(ReadError::Disk)
    }
}

async fn on_disk<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let done = task::spawn_blocking(act).await;
    done.map_err(io::Error::other).flatten().map_err(ReadError::Disk)
}

/// Watches whether messages follow each other. Read to its present end, an engine's copy is in order.
/// But an older engine (before Docker 23) that somebody follows begins a new file a second time when it
/// was just begun, and leaves out a whole one when two were begun at once. Whatever looks like this is
/// not believed, and the copy is read anew.
struct Order {
    shortest_skip: TimeDelta,
    /// The last message of each stream: its stamp, and whether its line goes on.
    last: [Option<(DateTime<Utc>, bool)>; 2],
    /// The newest stamp, and when it was received, at the latest.
    newest: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Order {
    /// Whether a message comes after those before it. It is not one that came already when it is
    /// younger than the one before, or a further piece of the same line. Nothing was left out before it
    /// when there was no time to write a whole file in between, or when it was not there yet when the
    /// one before it was received.
    fn continues(&mut self, message: &Message, now: DateTime<Utc>) -> bool {
        let at = message.at();
        let last = &mut self.last[message.stream as usize];
        if last.is_some_and(|(stamp, goes_on)| at < stamp || at == stamp && !goes_on) {
            return false;
        }
        if self.newest.is_some_and(|(stamp, seen_at)| at <= seen_at && at - stamp >= self.shortest_skip) {
            return false;
        }
        *last = Some((at, !message.content.ends_with(b"\n")));
        self.newest = Some((self.newest.map_or(at, |(stamp, _)| stamp.max(at)), now));
        true
    }
}

/// A message of the engine.
struct Message {
    stream: Stream,
    stamp: String,
    content: Bytes,
}

impl Message {
    fn read(message: LogOutput) -> Result<Self, bollard::errors::Error> {
        let malformed = |error: String| bollard::errors::Error::DockerStreamError { error };
        let (stream, mut message) = match message {
            LogOutput::StdOut { message } => (Stream::Stdout, message),
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            // Containers have no terminal. What has no header is the engine's own complaint, or half a
            // message before the engine went away.
            LogOutput::StdIn { message } | LogOutput::Console { message } => {
                return Err(malformed(String::from_utf8_lossy(&message).into_owned()));
            }
        };
        let Some(end) = message.iter().position(|byte| *byte == b' ') else {
            return Err(malformed("a message of the log has no stamp".to_owned()));
        };
        let stamp = String::from_utf8_lossy(&message.split_to(end)).into_owned();
        Ok(Self { stream, stamp, content: message.slice(1..) })
    }

    /// When it was written. One that does not say so is as old as can be.
    fn at(&self) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&self.stamp).map_or(DateTime::<Utc>::MIN_UTC, |at| at.to_utc())
    }
}

/// An engine's stamp in the one form that logs have. One that says no instant is as old as can be.
fn exact(stamp: &str) -> String {
    log::stamp(DateTime::parse_from_rfc3339(stamp).map_or(DateTime::UNIX_EPOCH, |at| at.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stream: Stream, millis: u32, content: &'static str) -> Message {
        let stamp = format!("2026-12-01T00:00:00.{millis:03}Z");
        Message { stream, stamp, content: Bytes::from_static(content.as_bytes()) }
    }

    #[test]
    fn messages_that_follow_each_other_are_believed() {
        let now = |millis| message(Stream::Stdout, millis, "").at();
        let shortest_skip = TimeDelta::milliseconds(5);
        let mut order = Order { shortest_skip, last: [None; 2], newest: None };
        assert!(order.continues(&message(Stream::Stdout, 100, "a\n"), now(150)));
        assert!(!order.continues(&message(Stream::Stdout, 100, "a\n"), now(150)), "it came already");
        assert!(!order.continues(&message(Stream::Stdout, 99, "a\n"), now(150)), "older than the one before");
        assert!(order.continues(&message(Stream::Stderr, 99, "b"), now(150)), "the streams have no order");
        assert!(order.continues(&message(Stream::Stderr, 99, "c\n"), now(150)), "a piece of the same line");
        assert!(!order.continues(&message(Stream::Stdout, 120, "d\n"), now(150)), "time to write a file");
        assert!(order.continues(&message(Stream::Stdout, 104, "d\n"), now(150)), "no time to write a file");
        assert!(order.continues(&message(Stream::Stdout, 151, "e\n"), now(151)), "it was not there before");
    }

    #[test]
    fn a_message_without_header_or_stamp_is_an_error() {
        let message = Bytes::from_static(b"2026-12-01T00:00:00.000000001Z a b\n");
        let read = Message::read(LogOutput::StdErr { message: message.clone() }).unwrap();
        assert_eq!((read.stream, read.stamp.as_str()), (Stream::Stderr, "2026-12-01T00:00:00.000000001Z"));
        assert_eq!(&read.content[..], b"a b\n");
        assert_eq!(read.at().timestamp_subsec_nanos(), 1);
        assert!(Message::read(LogOutput::Console { message }).is_err());
        assert!(Message::read(LogOutput::StdOut { message: Bytes::from_static(b"x\n") }).is_err());
    }
}
