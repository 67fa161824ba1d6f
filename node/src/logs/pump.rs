//! Takes a process's log from a pipe. It is a program of its own, since a process runs on while no
//! agent does, and somebody must read what it writes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};
use tokio::time;

use super::LogFiles;

/// Its name as a subcommand.
pub const SUBCOMMAND: &str = "pump-log";

/// As much as a pipe holds.
const BUFFER: usize = 64 << 10;

/// What was read is marked when nothing came for so long, or so much came.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const MARK_BYTES: u64 = 4 << 20;

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

/// Starts a pump and returns the end of the pipe that is to be written to.
///
/// # Errors
///
/// When it cannot be started.
pub fn start(files: &LogFiles) -> io::Result<io::PipeWriter> {
    fs::create_dir_all(&files.folder)?;
    let path = files.folder.join("pump");
    let lock = File::options().create(true).truncate(false).write(true).open(&path)?;
    // Held by the pump as its standard output, until it ends. Shared, since there may be the pump of
    // a start that came to nothing.
    lock.lock_shared()?;
    let (reader, writer) = io::pipe()?;
    // Of the same program, even when its file was replaced meanwhile.
    let mut pump = Command::new("/proc/self/exe");
    pump.arg(SUBCOMMAND)
        .arg("--file")
        .arg(&files.log)
        .arg("--folder")
        .arg(&files.folder)
        .args(["--limit", &files.limit.to_string()])
        .stdin(reader)
        .stdout(lock)
        .stderr(Stdio::null())
        // Signals to the run's group are not for it: it ends with the pipe.
        .process_group(0);
    let child = tokio::process::Command::from(pump).spawn()?;
    if let Some(id) = child.id() {
        fs::write(path, id.to_string())?;
    }
    Ok(writer)
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

/// The program: reads its standard input until nobody can write to it any more. It reads on when the
/// log cannot be written, since a process must not be held up by its log.
///
/// # Errors
///
/// When the input cannot be read.
pub fn run(args: PumpArgs) -> io::Result<()> {
    let files = LogFiles { log: args.file, folder: args.folder, limit: args.limit };
    let mut capture = files.open().unwrap_or_default();
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; BUFFER];
    loop {
        if let Some(open) = &mut capture
            && open.unmarked() > 0
        {
            let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&QUIET))?;
            if ready == 0 || open.unmarked() >= MARK_BYTES {
                // Tried again later, perhaps with more room on the disk.
                let _ = open.mark();
            }
        }
        let length = stdin.read(&mut buffer)?;
        if let Some(open) = &mut capture {
            if length == 0 {
                // The pump of a start that came to nothing leaves the files to the other.
                return if open.unmarked() > 0 { open.mark() } else { Ok(()) };
            }
            let _ = open.write(&buffer[..length]);
        }
        if length == 0 {
            return Ok(());
        }
    }
}
