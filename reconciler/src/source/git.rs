//! One run of the `git` command, which ends in time: by itself, or killed with all that it started.

use std::{
    env,
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio_util::sync::CancellationToken;

/// How much of what Git says is kept.
const SAID: u64 = 16 << 10;

/// How often what goes on is looked at: for its end, and for the bounds.
const TICK: Duration = Duration::from_millis(50);

/// How long what was killed may hold on to its output. The kernel ends it at once, unless it waits for a
/// disk.
const KILLED: Duration = Duration::from_secs(5);

/// What a run came to.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// What it printed.
    pub(super) stdout: String,
    /// What it said.
    pub(super) stderr: String,
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub(super) enum Cut<E> {
    /// There is no `git`, or it cannot be run.
    Spawn(io::Error),
    /// It took too long.
    Deadline,
    /// The program is to stop.
    Stopped,
    /// A bound was exceeded.
    Bound(E),
}

/// The variables of Git that count: where its parts and the machine's own configuration are.
const KEPT: [&str; 4] = ["GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"];

/// What holds for every command, whatever the configuration of the machine, the user or the mirror says.
const CONFIG: [&str; 10] = [
    // Nothing of the machine's is to run because of a repository, and no address becomes a program.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    // What tidies up runs by itself, where it is waited for.
    "maintenance.auto=false",
    "gc.autoDetach=false",
    "gc.auto=6700",
    // What comes is stored as one pack, which is written under a temporary name: what a killed fetch leaves
    // behind can be told from what was there.
    "fetch.unpackLimit=1",
    "http.sslVerify=true",
];

/// A `git` command that asks nobody anything, speaks English, and takes from the environment only where the
/// machine's own configuration is.
pub(super) fn command() -> Command {
    let mut command = Command::new("git");
    command.args(CONFIG.iter().flat_map(|setting| ["-c", setting]));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        // `GIT_DIR`, `GIT_SSL_NO_VERIFY`, `GIT_TRACE_CURL` and their like change what is done or show secrets.
        if text.starts_with("GIT_") && !KEPT.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never");
    command.env("LC_ALL", "C").env_remove("LANGUAGE");
    command
}

/// Runs a command to its end, but not beyond the deadline. While it runs, `bound` is asked again and again.
pub(super) fn run<E>(
    command: &mut Command,
    deadline: Duration,
    stop: &CancellationToken,
    mut bound: impl FnMut() -> Result<(), E>,
) -> Result<Ended, Cut<E>> {
    let begun = Instant::now();
    // A group of its own: Git starts `ssh`, `git-remote-https` and `git index-pack`.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(Cut::Spawn)?;
    let stdout = listen(child.stdout.take());
    let stderr = listen(child.stderr.take());
    let cut = loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return Ok(Ended { status, stdout: heard(stdout), stderr: heard(stderr) });
            }
            Ok(None) => {}
            Err(error) => break Cut::Spawn(error),
        }
        if stop.is_cancelled() {
            break Cut::Stopped;
        }
        if begun.elapsed() >= deadline {
            break Cut::Deadline;
        }
        if let Err(exceeded) = bound() {
            break Cut::Bound(exceeded);
        }
        // What was read to its end wakes this thread, so that a quick run is not waited for.
        thread::park_timeout(TICK);
    };
    kill(&mut child);
    // Its children hold the other ends of the pipes, which close when the last one is gone. Only then is
    // nobody left who writes into the mirror.
    heard(stdout);
    heard(stderr);
    Err(cut)
}

fn kill(child: &mut Child) {
    // The child was not waited for, so its number is still its own.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads what is said. All of it is taken, so that nobody waits to say more; the start of it is kept.
fn listen(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let waiting = thread::current();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(SAID).read_to_end(&mut said);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        waiting.unpark();
        String::from_utf8_lossy(&said).into_owned()
    })
}

/// What was said. A process that left the group may hold a pipe for ever, and is not waited for.
fn heard(listener: JoinHandle<String>) -> String {
    let begun = Instant::now();
    while !listener.is_finished() {
        if begun.elapsed() >= KILLED {
            return String::new();
        }
        thread::park_timeout(TICK);
    }
    listener.join().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_ends_by_itself_is_heard() {
        let stop = CancellationToken::new();
        let ended =
            run(&mut shell("echo out; echo err >&2; exit 3"), Duration::MAX, &stop, || Ok::<_, ()>(()))
                .unwrap();
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(ended.status.code(), Some(3));
        let loud = "head -c 1000000 /dev/zero | tr '\\0' a";
        let ended = run(&mut shell(loud), Duration::MAX, &stop, || Ok::<_, ()>(())).unwrap();
        assert_eq!(ended.stdout.len() as u64, SAID);
    }

    /// The grandchild ignores what it is told, and is gone all the same.
    #[test]
    fn what_takes_too_long_is_killed_with_its_children() {
        let stop = CancellationToken::new();
        let folder = tempfile::tempdir().unwrap();
        let (pid, done) = (folder.path().join("pid"), folder.path().join("pid.done"));
        let (from, to) = (pid.display(), done.display());
        let child = format!("trap \"\" TERM; echo $$ > {from}; mv {from} {to}; while :; do sleep 1; done");
        let script = format!("sh -c '{child}' & wait");
        let begun = Instant::now();
        // It ends once the grandchild is there.
        let bound = || if done.exists() { Err("there") } else { Ok(()) };
        let cut = run(&mut shell(&script), Duration::MAX, &stop, bound).unwrap_err();
        assert!(matches!(cut, Cut::Bound("there")), "{cut:?}");
        assert!(begun.elapsed() < KILLED, "its output was not closed");
        let pid = std::fs::read_to_string(done).unwrap();
        // Of what has ended and was not waited for, nothing is left but its number.
        let running = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        assert_eq!(running, b"");

        let cut = run(&mut shell("sleep 60 & wait"), Duration::ZERO, &stop, || Ok::<_, ()>(())).unwrap_err();
        assert!(matches!(cut, Cut::Deadline), "{cut:?}");
        stop.cancel();
        let cut = run(&mut shell("sleep 60 & wait"), Duration::MAX, &stop, || Ok::<_, ()>(())).unwrap_err();
        assert!(matches!(cut, Cut::Stopped), "{cut:?}");
    }
}
