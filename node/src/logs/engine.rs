//! Takes a container's log from its engine. The engine keeps a bounded copy of its own, which bridges
//! the time when no agent reads; here is remembered which of its messages are written.

use std::{
    collections::{HashMap, VecDeque},
    io, iter,
    time::Duration,
};

use almanac_proto::log::{self, Stream};
use bollard::{container::LogOutput, models::HostConfigLogConfig, query_parameters::LogsOptionsBuilder};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt};
use thiserror::Error;
use tokio::{
    task,
    time::{self, Instant},
};
use tracing::debug;

use crate::{backoff::Backoff, clock, container::ContainerName, runtime::chain};

use super::{
    Capture, LogFiles, Reading,
    order::{Found, Identity, Order, Watch, find},
    place::{Place, Search},
};

/// How much is written at once, unless the engine has no more. One of its messages more may come on top.
const BATCH: usize = 256 << 10;

/// When what is written is marked: after so many bytes, so long, or when nothing came for a while. What
/// came later is read from the engine again, as long as it has it; each mark waits for the disk.
const MARK_BYTES: u64 = 4 << 20;
const MARK_TIME: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(1);

/// How often it is looked whether messages are to be believed, at most. So much later somebody who watches may see them.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait before everything is read anew since messages are not believed: at first, and at most.
const ANEW: [Duration; 2] = [LOOK, Duration::from_secs(1)];

/// How many messages the engine may have after those; it is asked again where there are more. Mostly there are none.
/// Beyond the last, everything is read anew: a socket holds some ten thousand short ones.
const BEHIND: [usize; 3] = [10, 1_000, 100_000];

/// What is said in the log where the engine threw something away before it was read.
const GAP: &str = "the engine kept no more of the log; some of it is missing here";

/// The most that an engine writes to a log in a nanosecond, in bytes. No disk is that fast.
const BYTES_PER_NANO: u64 = 1;

/// The engine's own copy of the log: three files of this size at most, of which two are whole. It bridges the time when
/// no agent reads, or when one reads more slowly than a container writes.
///
/// The driver `local` keeps every byte; `json-file`, for engines that do not have it, keeps text.
pub fn copy(has_local: bool, limit: u64) -> HostConfigLogConfig {
    let mut config = HashMap::from([
        ("max-size".to_owned(), file_size(limit).to_string()),
        // With the one that is being written, there are always two whole ones. Where the engine leaves out one and goes
        // on with the next, the one before it is still there, so that it is known where to go on.
        ("max-file".to_owned(), "3".to_owned()),
    ]);
    if has_local {
        // Compressing costs a small machine more than it saves.
        config.insert("compress".to_owned(), "false".to_owned());
    }
    let driver = if has_local { "local" } else { "json-file" };
    HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }
}

/// The size of one of the engine's files.
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

/// Takes what is new of a container's log, of an engine that `skips` files while somebody follows it, or does not. It may
/// be dropped at any instant: what it has not marked is taken again, to the same place.
///
/// # Errors
///
/// When the engine does not answer or a file cannot be written.
pub async fn read(
    client: &bollard::Docker,
    name: &ContainerName,
    files: &LogFiles,
    reading: Reading,
    skips: bool,
) -> Result<(), ReadError> {
    let opened = files.clone();
    let Some(capture) = on_disk(move || opened.open()).await? else { return Ok(()) };
    let shortest_skip = TimeDelta::nanoseconds((file_size(files.limit) / BYTES_PER_NANO).cast_signed());
    let mut reader =
        Reader { client, name, capture: Some(capture), marked_at: Instant::now(), shortest_skip, skips };
    let mut backoff = Backoff::new(ANEW[0], ANEW[1]);
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
        // An agent that is killed again and again would fall behind what the engine keeps.
        if reader.capture()?.unmarked() > 0 {
            reader.write(Capture::mark).await?;
        }
        let place = reader.capture()?.place().clone();
        if reader.pass(reading, Search::new(&place)).await? != Pass::Doubtful {
            break;
        }
        time::sleep(backoff.next_wait()).await;
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
    /// Whether it is an engine that may.
    skips: bool,
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

/// Messages that are not believed yet.
#[derive(Default)]
struct Unsure {
    messages: Vec<Message>,
    bytes: usize,
    /// Whether it was looked, since reading began, that the engine says what is new.
    is_settled: bool,
    /// When it was looked last.
    looked_at: Option<Instant>,
}

impl Unsure {
    /// When it is to be looked: at once, but not again and again.
    fn due(&self) -> Instant {
        self.looked_at.map_or_else(Instant::now, |at| at + LOOK)
    }

    /// Whether it is time.
    fn is_due(&self) -> bool {
        !self.messages.is_empty() && (self.bytes >= BATCH || self.due() <= Instant::now())
    }
}

impl Reader<'_> {
    /// Reads the engine's copy from its start and takes what is new.
    async fn pass(&mut self, reading: Reading, mut search: Search) -> Result<Pass, ReadError> {
        let follow = reading == Reading::ToTheEnd;
        let options =
            LogsOptionsBuilder::new().follow(follow).stdout(true).stderr(true).timestamps(true).build();
        let mut messages = self.client.logs(self.name.as_str(), Some(options));
        let goes_on = !self.capture()?.place().is_start();
        let mut watch = Watch::new(self.shortest_skip, self.skips, goes_on);
        let mut unsure = Unsure { is_settled: !follow || !self.skips || !goes_on, ..Unsure::default() };
        let mut doubtful = false;
        while !doubtful {
            let first = if unsure.messages.is_empty() && unsure.is_settled && self.capture()?.unmarked() == 0
            {
                messages.next().await
            } else {
                let quiet = Instant::now() + QUIET;
                let until = if unsure.messages.is_empty() { quiet } else { unsure.due() };
                // Cancel-safe: a message that did not come is still to come.
                match time::timeout_at(until, messages.next()).await {
                    Ok(first) => first,
                    Err(_elapsed) => {
                        let nothing_came = unsure.messages.is_empty();
                        if (!nothing_came || !unsure.is_settled)
                            && !self.believe(&mut unsure, nothing_came).await?
                        {
                            doubtful = true;
                        } else if nothing_came && self.capture()?.unmarked() > 0 {
                            self.write(Capture::mark).await?;
                        }
                        continue;
                    }
                }
            };
            let Some(first) = first else { break };
            let mut bytes = Vec::new();
            let mut next = Some(first);
            let mut failure = None;
            while let Some(message) = next {
                match message.and_then(Message::read) {
                    Ok(message) if search.is_new(message.stream, &message.stamp) => {
                        let order = if follow { watch.judge(&message) } else { Order::Follows };
                        match order {
                            Order::Broken => {
                                doubtful = true;
                                break;
                            }
                            Order::Follows if unsure.messages.is_empty() => self.take(message, &mut bytes)?,
                            Order::Follows | Order::Unsure => {
                                unsure.bytes += message.content.len();
                                unsure.messages.push(message);
                            }
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failure = Some(ReadError::Engine(error));
                        break;
                    }
                }
                let is_full = bytes.len() >= BATCH || unsure.bytes >= BATCH;
                next = if is_full { None } else { messages.next().now_or_never().flatten() };
            }
            self.add(bytes).await?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            if !doubtful && unsure.is_due() {
                doubtful = !self.believe(&mut unsure, false).await?;
            }
        }
        if !doubtful && !unsure.messages.is_empty() {
            doubtful = !self.believe(&mut unsure, false).await?;
        }
        Ok(match (doubtful, search.found()) {
            (true, _) => Pass::Doubtful,
            (false, true) => Pass::Taken,
            (false, false) => Pass::NotFound,
        })
    }

    /// Looks whether messages that came are where the end of the engine's copy has them, and takes them then. Where
    /// nothing more came for a while, nothing may be behind them that was written before that.
    async fn believe(&mut self, unsure: &mut Unsure, nothing_came: bool) -> Result<bool, ReadError> {
        let Some(last) = self.capture()?.place().last() else { return Ok(true) };
        let came = unsure.messages.iter().map(|message| (message.stream, message.stamp.clone()));
        let came: VecDeque<Identity> = iter::once(last).chain(came).collect();
        let quiet_since = clock::now() - TimeDelta::from_std(QUIET).unwrap_or_default();
        unsure.is_settled |= nothing_came;
        for most in BEHIND {
            let end = match self.end(came.len() + most).await {
                Ok(end) => end,
                Err(error) => {
                    debug!(error = chain(&error), "the end of a log cannot be looked at");
                    return Ok(false);
                }
            };
            let Found::Together { behind } = find(&came, &end) else { continue };
            if nothing_came && end[end.len() - behind..].iter().any(|(_, stamp)| instant(stamp) < quiet_since)
            {
                return Ok(false);
            }
            unsure.looked_at = Some(Instant::now());
            unsure.bytes = 0;
            let mut bytes = Vec::new();
            for message in std::mem::take(&mut unsure.messages) {
                self.take(message, &mut bytes)?;
            }
            self.add(bytes).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Which are the last messages of the engine's copy. What they say may be more than there is memory.
    async fn end(&self, count: usize) -> Result<Vec<Identity>, ReadError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true);
        let options = options.tail(&count.to_string()).build();
        let messages = self.client.logs(self.name.as_str(), Some(options));
        let identity = |message: Message| (message.stream, message.stamp);
        let messages = messages.map(|message| message.and_then(Message::read).map_err(ReadError::Engine));
        messages.map_ok(identity).try_collect().await
    }

    /// Takes a message.
    fn take(&mut self, message: Message, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        let Message { stream, stamp, content } = message;
        if let Some(before) = self.capture()?.place().take(stream, &stamp, &content) {
            log::encode(bytes, &exact(&before), stream, b"\n");
        }
        log::encode(bytes, &exact(&stamp), stream, &content);
        Ok(())
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

/// A message of the engine.
pub(super) struct Message {
    pub(super) stream: Stream,
    pub(super) stamp: String,
    pub(super) content: Bytes,
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

    /// When it was written.
    pub(super) fn at(&self) -> DateTime<Utc> {
        instant(&self.stamp)
    }
}

/// The instant of a stamp. One that says none is as old as can be.
fn instant(stamp: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(stamp).map_or(DateTime::<Utc>::MIN_UTC, |at| at.to_utc())
}

/// An engine's stamp in the one form that logs have. One that says no instant is as old as can be.
fn exact(stamp: &str) -> String {
    log::stamp(DateTime::parse_from_rfc3339(stamp).map_or(DateTime::UNIX_EPOCH, |at| at.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
