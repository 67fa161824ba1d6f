//! Plain processes of the host, for trying things out without an engine. It isolates nothing: a
//! command runs as the agent's user, sees its files and network, and is held to no limit.
//!
//! A run's command is the child of a small `sh -c` wrapper, in a process group of its own. The
//! wrapper claims the run (so that it is started at most once), notes its own process in a file,
//! and at the end writes the command's exit code to another. So an agent that was killed finds in
//! these files, and in `/proc`, what goes on and what has ended.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, Utc};
use futures::future::{BoxFuture, FutureExt};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tokio::{
    io::unix::AsyncFd,
    time::{self, Instant},
};

use almanac_schemas::{Size, container::Image};

use crate::{
    clock,
    container::{ContainerName, ContainerSpec, View},
    logs::{LogFiles, Reading, pump},
    run::{Exit, RunKey},
    state_dir::{self, RunDir},
    telemetry::network::Usage,
};

use super::{Condition, PrepareError, Runtime, RuntimeError, host};

/// Uses nothing but what the shell has built in: a job may set `PATH`. `set -C` makes the first
/// redirection fail when the file exists. A trapped signal interrupts the command and not the
/// wrapper, which goes on to write the exit code.
const WRAPPER: &str = r#"
notes=$1; shift
set -C; { : > "$notes/claimed"; } 2> /dev/null || exit 125; set +C
trap : TERM INT HUP
read -r stat < /proc/$$/stat; echo "$stat" > "$notes/stat"
"$@"
code=$?
echo "$code." > "$notes/exit"
"#;

/// Processes of the host.
#[derive(Debug, Clone)]
pub struct Process {
    /// The folder that holds the folders of runs.
    runs: PathBuf,
    boot_id: String,
    /// How much of a log is kept.
    log_limit: Size,
}

/// What is to be run, and on which boot of the host.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    command: Vec<String>,
    env: Vec<(String, String)>,
    boot_id: String,
}

impl Process {
    /// Runs processes that have their folders below `runs`.
    pub fn new(runs: PathBuf, boot_id: String, log_limit: Size) -> Self {
        Self { runs, boot_id, log_limit }
    }

    fn folder(&self, name: &ContainerName) -> PathBuf {
        self.runs.join(name.run())
    }

    fn notes(&self, name: &ContainerName) -> Notes {
        Notes(self.folder(name).join("process"))
    }

    fn log(&self, name: &ContainerName) -> LogFiles {
        RunDir::at(self.folder(name)).log(self.log_limit)
    }

    fn condition(&self, notes: &Notes) -> io::Result<Option<Condition>> {
        let Some(plan) = notes.plan()? else { return Ok(None) };
        let Some(started_at) = modified(&notes.0.join("claimed"))? else {
            return Ok(Some(Condition::Created));
        };
        let ended = |at: Option<DateTime<Utc>>, code| {
            let exit = Exit { at: at.unwrap_or_else(clock::now), code, out_of_memory: false };
            Ok(Some(Condition::Ended { started_at, exit }))
        };
        if let Some(code) = notes.exit_code()? {
            return ended(modified(&notes.0.join("exit"))?, Some(code));
        }
        if plan.boot_id != self.boot_id {
            // The host was restarted, and the command ended with it.
            return ended(None, None);
        }
        match notes.wrapper()? {
            Some(wrapper) if wrapper.is_alive() => Ok(Some(Condition::Running { started_at })),
            // It may have written its code between the two looks.
            Some(_) => {
                let code = notes.exit_code()?;
                ended(modified(&notes.0.join("exit"))?, code)
            }
            // Claimed a moment ago and not noted yet, unless the wrapper was killed in between.
            None if clock::now() - started_at < chrono::TimeDelta::seconds(2) => {
                Ok(Some(Condition::Running { started_at }))
            }
            None => ended(None, None),
        }
    }
}

impl Runtime for Process {
    fn describe(&self) -> BoxFuture<'_, Result<String, RuntimeError>> {
        async { Ok("process".to_owned()) }.boxed()
    }

    fn view(&self) -> View {
        View::Host
    }

    fn prepare<'a>(&'a self, _image: &'a Image) -> BoxFuture<'a, Result<Option<String>, PrepareError>> {
        async { Ok(None) }.boxed()
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            if spec.command.is_empty() {
                return Err(RuntimeError::NoCommand);
            }
            let plan =
                Plan { command: spec.command.clone(), env: spec.env.clone(), boot_id: self.boot_id.clone() };
            self.notes(&spec.name).write_plan(&plan).map_err(host("note the command"))
        }
        .boxed()
    }

    fn hold<'a>(&'a self, _name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        // A process begins in a millisecond or two.
        async { Ok(()) }.boxed()
    }

    fn release<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<DateTime<Utc>, RuntimeError>> {
        async move {
            let notes = self.notes(name);
            let begun = clock::now();
            start(&notes, &self.log(name)).map_err(host("start the command"))?;
            // The wrapper's first act is its claim; until then the run counts as not started.
            let deadline = Instant::now() + CLAIM_TIME;
            loop {
                if let Some(at) = modified(&notes.0.join("claimed")).map_err(host("look for the command"))? {
                    // The times of files are those of the kernel's last tick.
                    return Ok(at.max(begun));
                }
                if Instant::now() >= deadline {
                    let source = io::Error::new(io::ErrorKind::TimedOut, "its shell does not come up");
                    return Err(RuntimeError::Host { doing: "start the command", source });
                }
                time::sleep(CLAIM_LOOK).await;
            }
        }
        .boxed()
    }

    fn inspect<'a>(
        &'a self,
        name: &'a ContainerName,
    ) -> BoxFuture<'a, Result<Option<Condition>, RuntimeError>> {
        async move { self.condition(&self.notes(name)).map_err(host("look for the command")) }.boxed()
    }

    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            match self.notes(name).wrapper().map_err(host("look for the command"))? {
                Some(wrapper) => {
                    wrapper.ended().await.map_err(host("wait for the command"))?;
                    // What the command left in its process group ends with it.
                    wrapper.signal(Signal::KILL);
                    Ok(())
                }
                None => {
                    time::sleep(CLAIM_LOOK).await;
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn addresses<'a>(&'a self, _name: &'a ContainerName) -> BoxFuture<'a, Result<Vec<IpAddr>, RuntimeError>> {
        async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) }.boxed()
    }

    fn execute<'a>(
        &'a self,
        name: &'a ContainerName,
        command: &'a [String],
    ) -> BoxFuture<'a, Result<i64, RuntimeError>> {
        async move {
            let plan = self.notes(name).plan().map_err(host("look for the command"))?;
            let env = plan.map(|plan| plan.env).unwrap_or_default();
            let (program, arguments) = command.split_first().ok_or(RuntimeError::NoCommand)?;
            let mut child = tokio::process::Command::new(program);
            child.args(arguments).envs(env).current_dir(self.folder(name).join("artifacts"));
            child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            let ended = child.status().await.map_err(host("run a command beside the run"))?;
            Ok(ended.code().map_or(-1, i64::from))
        }
        .boxed()
    }

    fn read_log<'a>(
        &'a self,
        _name: &'a ContainerName,
        files: &'a LogFiles,
        reading: Reading,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            match reading {
                // The pump reads it.
                Reading::ToTheEnd => Ok(()),
                Reading::Now => pump::finish(files).await.map_err(host("wait for the log")),
            }
        }
        .boxed()
    }

    fn stop<'a>(
        &'a self,
        name: &'a ContainerName,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let Some(wrapper) = self.notes(name).wrapper().map_err(host("look for the command"))? else {
                return Ok(());
            };
            if wrapper.is_alive() {
                wrapper.signal(Signal::TERM);
                // An elapsed grace is what SIGKILL is for.
                let _ = time::timeout(grace, wrapper.ended()).await;
                wrapper.signal(Signal::KILL);
                wrapper.ended().await.map_err(host("stop the command"))?;
            }
            Ok(())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let notes = self.notes(name);
            if let Some(wrapper) = notes.wrapper().map_err(host("look for the command"))?
                && wrapper.is_alive()
            {
                wrapper.signal(Signal::KILL);
            }
            state_dir::remove(&notes.0).map_err(host("remove the notes on the command"))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RunKey>, RuntimeError>> {
        async {
            let folders = fs::read_dir(&self.runs).map_err(host("list the folders of runs"))?;
            let mut keys = Vec::new();
            for folder in folders {
                let folder = folder.map_err(host("list the folders of runs"))?;
                if folder.path().join("process").exists()
                    && let Some(key) = folder.file_name().to_str().and_then(RunKey::from_text)
                {
                    keys.push(key);
                }
            }
            Ok(keys)
        }
        .boxed()
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, RuntimeError>> {
        async {
            let mut usage = Usage::new();
            for key in self.list().await? {
                let wrapper =
                    self.notes(&ContainerName::of(&key)).wrapper().map_err(host("look for the command"))?;
                if wrapper.is_some_and(|wrapper| wrapper.is_alive()) {
                    // It has the host's interfaces, and nobody can tell its bytes from those of others.
                    usage.insert(key, None);
                }
            }
            Ok(usage)
        }
        .boxed()
    }
}

/// How long a shell may take to come up, on the slowest of boards.
const CLAIM_TIME: Duration = Duration::from_secs(10);

/// How often to look for it.
const CLAIM_LOOK: Duration = Duration::from_millis(2);

fn start(notes: &Notes, log: &LogFiles) -> io::Result<()> {
    let plan = notes.plan()?.ok_or(io::ErrorKind::NotFound)?;
    let run = notes.0.parent().ok_or(io::ErrorKind::NotFound)?;
    let [out, err] = pump::start(log)?;
    let mut child = Command::new("/bin/sh");
    child
        .args(["-c", WRAPPER, "almanac"])
        .arg(&notes.0)
        .args(&plan.command)
        .envs(plan.env)
        .current_dir(run.join("artifacts"))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    // Tokio's child is reaped when it has ended, also after it was dropped.
    tokio::process::Command::from(child).spawn().map(drop)
}

/// The files that tell of a command.
struct Notes(PathBuf);

impl Notes {
    fn plan(&self) -> io::Result<Option<Plan>> {
        let Some(text) = read(&self.0.join("plan.json"))? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(io::Error::other)
    }

    fn write_plan(&self, plan: &Plan) -> io::Result<()> {
        if self.plan()?.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.0)?;
        let unfinished = self.0.join("plan.json.new");
        fs::write(&unfinished, serde_json::to_string(plan)?)?;
        fs::rename(unfinished, self.0.join("plan.json"))
    }

    /// The wrapper's process, once it has noted it.
    fn wrapper(&self) -> io::Result<Option<Wrapper>> {
        Ok(read(&self.0.join("stat"))?.as_deref().and_then(Wrapper::parse))
    }

    /// The exit code, once it is written completely.
    fn exit_code(&self) -> io::Result<Option<i32>> {
        let text = read(&self.0.join("exit"))?.unwrap_or_default();
        Ok(text.trim_end().strip_suffix('.').and_then(|code| code.parse().ok()))
    }
}

/// The wrapper's process, by its id and by when it began: ids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrapper {
    pid: Pid,
    began: u64,
}

impl Wrapper {
    /// Reads a line of `/proc/PID/stat` (proc_pid_stat(5)). The command's name, in parentheses, may
    /// hold anything; the start time is field 22, the 20th after it.
    fn parse(line: &str) -> Option<Self> {
        let pid = Pid::from_raw(line.split_once(' ')?.0.parse().ok()?)?;
        let after = line.rsplit_once(") ")?.1;
        let mut fields = after.split_whitespace();
        Some(Self { pid, began: fields.nth(19)?.parse().ok()? })
    }

    fn is_alive(&self) -> bool {
        let path = format!("/proc/{}/stat", self.pid.as_raw_pid());
        let Ok(line) = fs::read_to_string(path) else { return false };
        let zombie = line.rsplit_once(") ").is_some_and(|(_, after)| after.starts_with(['Z', 'X']));
        Self::parse(&line) == Some(*self) && !zombie
    }

    /// Signals the whole process group. It may be gone already.
    fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.pid, signal);
    }

    /// Waits for the end of a process that need not be a child of this one.
    async fn ended(&self) -> io::Result<()> {
        let handle = match rustix::process::pidfd_open(self.pid, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Asked after the handle was opened, so that the handle is of this process and no later one.
        if self.is_alive() {
            #[expect(deprecated, reason = "unsound only for what does not own its descriptor, and this does")]
            let handle = AsyncFd::new(handle)?;
            let _ = handle.readable().await?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn modified(path: &Path) -> io::Result<Option<DateTime<Utc>>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(DateTime::<Utc>::from(metadata.modified()?).trunc_subsecs(6))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_id_and_its_beginning() {
        let line = "4711 (sh) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 2 3 4";
        let wrapper = Wrapper::parse(line).unwrap();
        assert_eq!((wrapper.pid.as_raw_pid(), wrapper.began), (4711, 123_456));
        let strange = line.replace("(sh)", "(a b) S 1 (x)");
        assert_eq!(Wrapper::parse(&strange), Some(wrapper));
        assert_eq!(Wrapper::parse(""), None);
        assert_eq!(Wrapper::parse("1 (x) S"), None);
    }
}
