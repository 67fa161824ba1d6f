//! An engine of a test's own, which can be restarted.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{Disk, IMAGE, docker, engine, wait_for};

/// How an engine ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// SIGTERM: it stops its containers.
    Stopped,
    /// SIGKILL: its containers go on until it comes back.
    Killed,
}

/// A Docker engine with folders, a socket and containers of its own.
pub(crate) struct EngineProcess {
    engine: Option<Child>,
    /// Before the folder that it is mounted in.
    _disk: Option<Disk>,
    folder: TempDir,
}

impl EngineProcess {
    /// Starts one that has the image of tests.
    pub(crate) fn start() -> Self {
        Self::start_on(None)
    }

    /// Starts one that has a disk of a size to itself, such as `100m`.
    pub(crate) fn start_on(size: Option<&str>) -> Self {
        let folder = tempfile::Builder::new().prefix("almanac-engine-").tempdir().unwrap();
        let disk = size.map(|size| Disk::mount(folder.path().join("data"), size));
        let mut engine = Self { engine: None, _disk: disk, folder };
        engine.come_back();
        engine::import_to(&engine.host(), IMAGE, 0);
        engine
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    /// A folder of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it on what it left.
    pub(crate) fn come_back(&mut self) {
        assert!(self.engine.is_none(), "it is there already");
        let path = |name: &str| self.folder.path().join(name);
        let log = File::options().create(true).append(true).open(path("log")).unwrap();
        let mut command = Command::new("dockerd");
        command
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--host", &self.host()])
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.engine = Some(command.spawn().expect("install docker.io"));
        let host = self.host();
        wait_for("the engine to answer", || {
            let asked = Command::new("docker").args(["--host", &host, "version"]).output().unwrap();
            asked.status.success().then_some(())
        });
    }

    /// Ends it.
    pub(crate) fn end(&mut self, how: Ending) {
        let mut engine = self.engine.take().unwrap();
        match how {
            Ending::Killed => {
                engine.kill().unwrap();
                // What it started for itself dies with it, and is taken for alive where nobody takes note of its end.
                let _ = fs::remove_file(self.folder.path().join("exec/containerd/containerd.pid"));
            }
            Ending::Stopped => signal("TERM", engine.id()),
        }
        wait_for("the end of the engine", || engine.try_wait().unwrap());
    }

    /// The names of all containers, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let names = docker(&["--host", &self.host(), "ps", "--all", "--format", "{{.Names}}"]);
        names.lines().map(str::to_owned).collect()
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let host = self.host();
            let asked = Command::new("docker").args(["--host", &host, "ps", "--all", "--quiet"]).output();
            let ids =
                asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned()).unwrap_or_default();
            for id in ids.lines() {
                let _ = Command::new("docker").args(["--host", &host, "rm", "--force", id]).output();
            }
            signal("TERM", engine.id());
            let _ = engine.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- what the engine said ---\n{log}");
        }
    }
}

fn signal(name: &str, id: u32) {
    let _ = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
}
