//! A program that runs while a test does.

use std::{
    cell::RefCell,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test has failed. It only bounds how long a broken test takes
/// to say so.
const LIMIT: Duration = Duration::from_secs(60);

/// The pause between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits until a condition yields a value, and returns it.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A program that runs while a test does, with its log in a file. It is killed when it goes out of scope.
pub(crate) struct Daemon {
    child: RefCell<Child>,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program whose log begins empty.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child: RefCell::new(child), log: log.to_owned() }
    }

    /// Everything that it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How much memory it holds, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.borrow().id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Fails the test when the program has ended.
    pub(crate) fn check(&self) {
        if let Some(status) = self.child.borrow_mut().try_wait().unwrap() {
            panic!("a program ended by itself with {status}:\n{}", self.log());
        }
    }

    /// The most memory that it has taken so far, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.borrow().id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.unwrap().parse::<u64>().unwrap() / 1024
    }

    /// The port that it serves on, as its log says.
    pub(crate) async fn port(&self) -> u16 {
        wait_for("the reconciler to listen", async || {
            self.check();
            let log = self.log();
            let after = log.split_once("address=").or_else(|| log.split_once("\"address\":\""))?.1;
            let (_, port) = after.split_once([' ', '\n', '"'])?.0.rsplit_once(':')?;
            port.parse().ok()
        })
        .await
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.borrow().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// SIGKILL: what a power cut is for the program.
    pub(crate) fn kill(self) {
        self.child.borrow_mut().kill().unwrap();
        self.child.borrow_mut().wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn terminate(self) -> ExitStatus {
        self.signal("TERM");
        wait_for("the end of the reconciler", async || self.child.borrow_mut().try_wait().unwrap()).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        if thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.log());
        }
    }
}

/// What a program that ended has said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a program to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        let (ended, watched) = mpsc::channel();
        // A program that goes on where it should have refused would be waited for for ever.
        let watchdog = thread::spawn(move || {
            if watched.recv_timeout(LIMIT).is_err() {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let _ = ended.send(());
        watchdog.join().unwrap();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// What a program said that could not run.
    pub(crate) fn refusal(command: &mut Command) -> String {
        let ended = Self::of(command);
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, "", "what is wrong goes to stderr");
        ended.stderr
    }
}
