//! The copy of a remote repository, kept beside the database and fetched by the `git` command.
//!
//! Git brings what a library would have to learn: TLS, SSH, credential helpers, proxies. The command
//! is never given a terminal to ask at, and is ended when it takes too long.

use std::{
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use thiserror::Error;

/// How long a fetch may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(120);

/// How much of what Git says is kept for the error.
const SAID: u64 = 4 << 10;

/// Why a remote repository could not be fetched.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// There is no `git`.
    #[error("cannot run `git`, which fetches remote repositories; install it")]
    Git(#[source] io::Error),
    /// Git failed.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// What it was to do.
        command: &'static str,
        /// What it said.
        said: String,
    },
    /// Git took too long.
    #[error("`git {0}` took longer than 2 minutes")]
    Deadline(&'static str),
}

/// Brings the branch of a remote repository into the mirror, which is made when it is not there.
/// Blocks until it is done or failed.
///
/// # Errors
///
/// When Git is missing, fails, or takes too long.
pub(super) fn fetch(mirror: &Path, address: &str, branch: &str) -> Result<(), MirrorError> {
    if !mirror.join("HEAD").exists() {
        git("init", Command::new("git").args(["init", "--quiet", "--bare", "--"]).arg(mirror))?;
    }
    // Forced, since a rewritten branch is followed and recorded as such.
    let refspec = format!("+refs/heads/{branch}:refs/heads/{branch}");
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(mirror);
    command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", address, &refspec]);
    git("fetch", &mut command)
}

fn git(name: &'static str, command: &mut Command) -> Result<(), MirrorError> {
    let mut child = command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MirrorError::Git)?;
    let stderr = child.stderr.take();
    let (done, ended) = mpsc::sync_channel(1);
    // The pipe closes when the command ends, so reading to its end is waiting with a deadline.
    let reader = thread::spawn(move || {
        let mut said = String::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(SAID).read_to_string(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        let _ = done.send(());
        said
    });
    if ended.recv_timeout(FETCH_DEADLINE).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(MirrorError::Deadline(name));
    }
    let status = child.wait().map_err(MirrorError::Git)?;
    let said = reader.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let said = said.trim().lines().collect::<Vec<_>>().join("; ");
    let said = if said.is_empty() { status.to_string() } else { said };
    Err(MirrorError::Failed { command: name, said })
}
