//! A testbed of one's own: repository, keys, reconciler, agents and the `almanac` command.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Daemon, Repository, binaries, engine, manifest, wait_for};

/// What agents run containers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// A Docker engine.
    Docker,
    /// Plain processes.
    Process,
}

/// A testbed with an admin `alice`, users `bob` and `carol`, and nodes `london-01` and `paris-01`.
#[derive(Debug)]
pub struct Testbed {
    /// Its repository.
    pub repository: Repository,
    port: u16,
    reconciler: Option<Daemon>,
    agents: BTreeMap<String, Daemon>,
    runtime: Runtime,
    /// Whether the reconciler's command line names the store.
    names_store: bool,
    /// The last to be dropped: the daemons' logs are in it.
    folder: TempDir,
}

/// How long anything may take before the test has failed.
const LIMIT: Duration = Duration::from_secs(60);

impl Testbed {
    /// Makes the repository and all keys, pushes users, nodes and settings, and starts the reconciler.
    pub fn start(runtime: Runtime) -> Self {
        let mut testbed = Self::prepare(runtime);
        let commit = testbed.repository.push("users and nodes");
        testbed.start_reconciler();
        testbed.wait_applied(&commit);
        testbed
    }

    /// As [`Testbed::start`], with these lines below `artifacts` in the settings.
    pub fn with_store(runtime: Runtime, artifacts: impl FnOnce(&Self) -> String) -> Self {
        let mut testbed = Self::prepare(runtime);
        testbed.names_store = false;
        let lines: String = artifacts(&testbed).lines().map(|line| format!("    {line}\n")).collect();
        testbed.repository.write("config.yaml", manifest::config() + "  artifacts:\n" + &lines);
        let commit = testbed.repository.push("users, nodes and settings");
        testbed.start_reconciler();
        testbed.wait_applied(&commit);
        testbed
    }

    /// As [`Testbed::start`], but nothing is pushed and nothing runs.
    pub fn prepare(runtime: Runtime) -> Self {
        if runtime == Runtime::Docker {
            engine::prepare();
        }
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::create(folder.path());
        // Some other program could take the port before the reconciler does; none here does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let key = |name: &str| {
            almanac_proto::identity::generate(&folder.path().join(name), name).unwrap().to_string()
        };
        for (name, role) in [("alice", "admin"), ("bob", "user"), ("carol", "user")] {
            repository.write(&format!("users/{name}.yaml"), manifest::user(name, role, &key(name)));
        }
        for name in ["london-01", "paris-01"] {
            repository.write(&format!("nodes/{name}.yaml"), manifest::node(name, &key(name)));
        }
        repository.write("config.yaml", manifest::config());
        Self {
            repository,
            port,
            reconciler: None,
            agents: BTreeMap::new(),
            runtime,
            names_store: true,
            folder,
        }
    }

    /// The folder that everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The private key of a user or node.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The reconciler's address.
    pub fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder that artifacts are stored in.
    pub fn store(&self) -> PathBuf {
        self.folder().join("artifacts")
    }

    /// The folder in which uploads arrive.
    pub fn uploads(&self) -> PathBuf {
        self.folder().join("almanac.db.uploads")
    }

    /// The reconciler's command line, without a subcommand.
    pub fn reconciler_command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(binaries::path("almanac-reconciler"));
        command.arg(subcommand);
        command.arg("--repo").arg(self.repository.path()).args(["--branch", "main"]);
        command.arg("--database").arg(format!("sqlite://{}", self.folder().join("almanac.db").display()));
        if self.names_store {
            command.arg("--artifacts").arg(self.store());
        }
        command
    }

    /// Starts the reconciler.
    pub fn start_reconciler(&mut self) {
        let mut command = self.reconciler_command("serve");
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        let mut daemon = Daemon::spawn("reconciler", command, &self.folder().join("reconciler.log"));
        wait_for("the reconciler to listen", LIMIT, || {
            daemon.check();
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        self.reconciler = Some(daemon);
    }

    /// Takes the reconciler, to end it in one way or another.
    pub fn take_reconciler(&mut self) -> Daemon {
        self.reconciler.take().unwrap()
    }

    /// An agent's command line, without a runtime.
    pub fn agent_command(&self, node: &str) -> Command {
        let mut command = Command::new(binaries::path("almanac-node"));
        command.args(["run", "--name", node, "--server", &self.server()]);
        command.arg("--key").arg(self.key(node));
        command.arg("--state-dir").arg(self.state_dir(node));
        command
    }

    /// Starts a node's agent and waits until it is connected.
    pub fn start_agent(&mut self, node: &str) {
        self.start_agent_with(node, &[]);
    }

    /// As [`Testbed::start_agent`], with more options.
    pub fn start_agent_with(&mut self, node: &str, options: &[&str]) {
        let mut command = self.agent_command(node);
        command.args(options).args([
            "--runtime",
            match self.runtime {
                Runtime::Docker => "docker",
                Runtime::Process => "process",
            },
        ]);
        let daemon = Daemon::spawn(node, command, &self.folder().join(format!("{node}.log")));
        self.agents.insert(node.to_owned(), daemon);
        self.wait_for(&format!("{node} to hold its desired state"), |testbed| {
            testbed.holds_current(node).then_some(())
        });
    }

    /// Starts a node's agent that finds the reconciler at another address, and does not wait for it.
    pub fn spawn_agent(&mut self, node: &str, server: &str) {
        let usual = self.agent_command(node);
        let usual_server = self.server();
        let mut command = Command::new(usual.get_program());
        command.args(usual.get_args().map(|argument| {
            if argument.to_str() == Some(&usual_server) { server.as_ref() } else { argument }
        }));
        command.args(["--runtime", "process"]);
        let daemon = Daemon::spawn(node, command, &self.folder().join(format!("{node}.log")));
        self.agents.insert(node.to_owned(), daemon);
    }

    /// The folder in which an agent keeps its state.
    pub fn state_dir(&self, node: &str) -> PathBuf {
        self.folder().join(format!("{node}.state"))
    }

    /// Takes a node's agent, to end it in one way or another.
    pub fn take_agent(&mut self, node: &str) -> Daemon {
        self.agents.remove(node).unwrap()
    }

    /// The id of an agent's process.
    pub fn agent_id(&self, node: &str) -> u32 {
        self.agents[node].id()
    }

    /// The id of the reconciler's process.
    pub fn reconciler_id(&self) -> u32 {
        self.reconciler.as_ref().unwrap().id()
    }

    /// What an agent printed.
    pub fn agent_log(&self, node: &str) -> String {
        self.agents[node].log()
    }

    /// Waits for a condition, and fails at once when a daemon dies.
    pub fn wait_for<T>(&mut self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        wait_for(what, LIMIT, || {
            for daemon in self.reconciler.iter_mut().chain(self.agents.values_mut()) {
                daemon.check();
            }
            condition(self)
        })
    }

    /// Pushes the clone and waits until the commit is in force.
    pub fn push(&mut self, message: &str) -> String {
        let commit = self.repository.push(message);
        self.wait_applied(&commit);
        commit
    }

    /// Waits until a commit is in force.
    pub fn wait_applied(&mut self, commit: &str) {
        self.wait_for(&format!("commit {commit} to be applied"), |testbed| {
            let status = testbed.try_json("alice", &["sync", "status"])?;
            (status["appliedCommit"] == commit).then_some(())
        });
    }

    /// Whether a node says that it holds what it should.
    pub fn holds_current(&self, node: &str) -> bool {
        self.try_json("alice", &["nodes", "show", node])
            .is_some_and(|node| node["liveness"] == "online" && node["generation"] == node["heldGeneration"])
    }

    /// Runs `almanac` as a user.
    pub fn almanac(&self, user: &str, args: &[&str]) -> Output {
        self.almanac_command(user, &self.server()).args(args).output().unwrap()
    }

    /// The command line of `almanac` as a user, who finds the reconciler at an address.
    pub fn almanac_command(&self, user: &str, server: &str) -> Command {
        let mut command = Command::new(binaries::path("almanac"));
        command.args(["--server", server, "--user", user, "--key"]).arg(self.key(user));
        // Nothing of the machine's own settings.
        command.env_remove("ALMANAC_SERVER").env("XDG_CONFIG_HOME", self.folder());
        command
    }

    /// Runs `almanac -o json` as a user. `None` when it failed.
    pub fn try_json(&self, user: &str, args: &[&str]) -> Option<Value> {
        let args: Vec<_> = ["-o", "json"].iter().chain(args).copied().collect();
        let output = self.almanac(user, &args);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Runs `almanac -o json` as a user.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn json(&self, user: &str, args: &[&str]) -> Value {
        let output = self.almanac(user, &[&["-o", "json"], args].concat());
        assert!(output.status.success(), "almanac {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The runs of a job, the latest scheduled first.
    pub fn runs(&self, job: &str) -> Vec<Value> {
        let runs = self.json("alice", &["runs", "list", "--job", job, "--limit", "0"]);
        runs.as_array().unwrap().clone()
    }

    /// Waits until a job has a run in a phase, and returns the run.
    pub fn wait_run(&mut self, job: &str, phase: &str) -> Value {
        self.wait_for(&format!("a run of {job} in {phase}"), |testbed| {
            testbed.runs(job).into_iter().find(|run| run["phase"] == phase)
        })
    }
}
