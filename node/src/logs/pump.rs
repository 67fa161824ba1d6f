//! Takes a process's log from two pipes, one for each of its streams, and stamps what comes. It is a program of its
//! own, since a process runs on while no agent does, and somebody must read what it writes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use almanac_proto::log::{self, PIECE, Stream};
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};
use tokio::time;

use crate::clock;

use super::{Capture, LogFiles};

/// Its name as a subcommand.
pub const SUBCOMMAND: &str = "pump-log";

/// As much as a pipe holds.
const BUFFER: usize = 64 << 10;

/// What was read is marked when nothing came for so long, or so much came.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const MARK_BYTES: u64 = 4 << 20;

/// How long a line that has no end yet is held back, so that one that comes in pieces is one line in the log. Whoever
/// watches a prompt waits so much longer for it.
const HOLD: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How long the pipe may stay open after its run has ended, in the hands of something that the run
/// left behind.
const LINGER: Duration = Duration::from_secs(5);

/// How often to look whether it is closed.
const LOOK: Duration = Duration::from_millis(2);

/// What the program is told.
#[derive(Debug, Args)]
pub struct PumpArgs {
    /// The log
    #[arg(long)]
    file: PathBuf,
    /// The folder for what it notes
    #[arg(long)]
    folder: PathBuf,
    /// The most bytes that are kept
    #[arg(long)]
    limit: u64,
}

/// Starts a pump and returns the ends of the pipes that are to be written to: standard output and error.
///
/// # Errors
///
/// When it cannot be started.
pub fn start(files: &LogFiles) -> io::Result<[io::PipeWriter; 2]> {
    fs::create_dir_all(&files.folder)?;
    let path = files.folder.join("pump");
    let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
    // Held by the pump as its standard output, until it ends. Shared, since there may be the pump of
    // a start that came to nothing.
    lock.lock_shared()?;
    let (out, to_out) = io::pipe()?;
    let (err, to_err) = io::pipe()?;
    // Of the same program, even when its file was replaced meanwhile.
    let mut pump = Command::new("/proc/self/exe");
    pump.arg(SUBCOMMAND)
        .arg("--file")
        .arg(&files.log)
        .arg("--folder")
        .arg(&files.folder)
        .args(["--limit", &files.limit.to_string()])
        .stdin(out)
        .stdout(lock)
        // It reads from there: a descriptor that a program inherits has to be one of the three.
        .stderr(err)
        // Signals to the run's group are not for it: it ends with the pipe.
        .process_group(0);
    let child = tokio::process::Command::from(pump).spawn()?;
    if let Some(id) = child.id() {
        fs::write(path, id.to_string())?;
    }
    Ok([to_out, to_err])
}

/// Waits until everything that an ended run wrote is in the files, and no pump runs any more.
///
/// # Errors
///
/// When its lock cannot be looked at.
pub async fn finish(files: &LogFiles) -> io::Result<()> {
    let path = files.folder.join("pump");
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    let mut deadline = time::Instant::now() + LINGER;
    let mut killed = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if time::Instant::now() >= deadline {
            if killed {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "what writes it does not end"));
            }
            killed = true;
            // It holds the lock, so that the id is still its own.
            if let Some(pid) = fs::read_to_string(&path)?.parse().ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            deadline += LINGER;
        }
        time::sleep(LOOK).await;
    }
}

/// A stream that is read.
struct Source {
    file: File,
    stream: Stream,
    /// The beginning of a line that has no end yet, and when it came.
    held: Vec<u8>,
    since: String,
}

impl Source {
    fn new(file: &impl AsFd, stream: Stream) -> io::Result<Self> {
        let file = File::from(file.as_fd().try_clone_to_owned()?);
        Ok(Self { file, stream, held: Vec::new(), since: String::new() })
    }

    /// Takes what has come, as lines of the log.
    fn take(&mut self, new: &[u8], lines: &mut Vec<u8>) {
        let now = log::stamp(clock::now());
        let mut rest = new;
        if !self.held.is_empty() {
            let end = new.iter().position(|byte| *byte == b'\n').map_or(new.len(), |at| at + 1);
            self.held.extend_from_slice(&new[..end]);
            rest = &new[end..];
            if self.held.ends_with(b"\n") || self.held.len() >= PIECE {
                self.give_up(lines);
            }
        }
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        log::encode(lines, &now, self.stream, &rest[..end]);
        if end < rest.len() {
            self.held.extend_from_slice(&rest[end..]);
            self.since = now;
        }
        if self.held.len() >= PIECE {
            self.give_up(lines);
        }
    }

    /// Holds nothing back any more.
    fn give_up(&mut self, lines: &mut Vec<u8>) {
        log::encode(lines, &self.since, self.stream, &self.held);
        self.held.clear();
    }
}

/// The program: reads both streams until nobody can write to them any more. It reads on when the
/// log cannot be written, since a process must not be held up by its log.
///
/// # Errors
///
/// When a stream cannot be read.
pub fn run(args: PumpArgs) -> io::Result<()> {
    let files = LogFiles { log: args.file, folder: args.folder, limit: args.limit };
    let mut capture = files.open().unwrap_or_default();
    let mut sources =
        vec![Source::new(&io::stdin(), Stream::Stdout)?, Source::new(&io::stderr(), Stream::Stderr)?];
    let mut buffer = vec![0; BUFFER];
    while !sources.is_empty() {
        let holds = sources.iter().any(|source| !source.held.is_empty());
        let wait = match &capture {
            _ if holds => Some(&HOLD),
            Some(open) if open.unmarked() > 0 => Some(&QUIET),
            _ => None,
        };
        let mut ready: Vec<PollFd<'_>> =
            sources.iter().map(|source| PollFd::new(&source.file, PollFlags::IN)).collect();
        let is_quiet = poll(&mut ready, wait)? == 0;
        let ready: Vec<bool> = ready.iter().map(|source| !source.revents().is_empty()).collect();
        let mut lines = Vec::new();
        let mut ended = Vec::new();
        for (source, ready) in sources.iter_mut().zip(ready) {
            let length = if ready { source.file.read(&mut buffer)? } else { 0 };
            if length > 0 {
                source.take(&buffer[..length], &mut lines);
            } else if ready || is_quiet {
                source.give_up(&mut lines);
            }
            ended.push(ready && length == 0);
        }
        let mut ended = ended.into_iter();
        sources.retain(|_| !ended.next().unwrap_or_default());
        if let Some(open) = &mut capture {
            keep(open, &lines, is_quiet && !holds);
        }
    }
    // The pump of a start that came to nothing leaves the files to the other.
    match capture.filter(|open| open.unmarked() > 0) {
        Some(mut open) => open.mark(),
        None => Ok(()),
    }
}

/// Adds lines to the log, and marks it when that is due. What fails is tried again later, perhaps with more room on
/// the disk.
fn keep(open: &mut Capture, lines: &[u8], is_quiet: bool) {
    if !lines.is_empty() {
        let _ = open.write(lines);
    }
    if is_quiet || open.unmarked() >= MARK_BYTES {
        let _ = open.mark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_in_pieces_are_whole_and_long_ones_are_not_held() {
        let file = File::open("/dev/null").unwrap();
        let mut source = Source::new(&file, Stream::Stderr).unwrap();
        let mut lines = Vec::new();
        for piece in ["one\ntw", "o", "\nthree\nfour\nfi"] {
            source.take(piece.as_bytes(), &mut lines);
        }
        assert_eq!(log::plain(&lines), b"one\ntwo\nthree\nfour\n");
        assert_eq!(lines.split(|byte| *byte == b'\n').count(), 5, "a line each");
        source.give_up(&mut lines);
        assert!(lines.ends_with(b" stderr P fi\n"));
        source.take(&[b'x'; PIECE], &mut lines);
        assert!(source.held.is_empty());
    }
}
