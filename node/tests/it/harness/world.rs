//! A reconciler, a state folder, and the agents that live there one after the other.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};

use tempfile::TempDir;
use uuid::Uuid;

use almanac_node::point::Point;
use almanac_proto::{
    identity,
    log::{self, Line, Stream},
    v1::RunEvent,
};
use almanac_schemas::NodeName;

use super::{
    Agent, Desired, Engine, Job, Network, Record, Run, command, pause, processes, reconciler::Reconciler,
    wait::LIMIT,
};

/// Everything that a test needs. It fails when an agent dies or does what it must not.
pub(crate) struct World {
    /// The agent, while one runs.
    pub(crate) agent: Option<Agent>,
    /// The other end.
    pub(crate) reconciler: Reconciler,
    /// What was declared last.
    pub(crate) desired: Desired,
    /// The node's name. No two worlds have the same: they may share an engine.
    pub(crate) node: NodeName,
    /// What is between the two, if anything.
    pub(crate) network: Option<Network>,
    engine: Option<Engine>,
    options: Vec<String>,
    folder: TempDir,
}

impl World {
    /// A world whose agents run processes.
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    /// A world whose agents run containers.
    pub(crate) fn with_docker() -> Self {
        Self::with(Some(Engine::prepare))
    }

    fn with(engine: Option<fn(&NodeName) -> Engine>) -> Self {
        let folder = tempfile::Builder::new().prefix("almanac-node-").tempdir().unwrap();
        let node: NodeName = format!("node-{}", &Uuid::new_v4().simple().to_string()[..12]).parse().unwrap();
        let key = identity::generate(&folder.path().join("key"), node.as_str()).unwrap();
        Self {
            agent: None,
            reconciler: Reconciler::start(node.clone(), key),
            desired: Desired::default(),
            network: None,
            engine: engine.map(|prepare| prepare(&node)),
            node,
            options: Vec::new(),
            folder,
        }
    }

    /// Puts a network between the agents that are started from now on and the reconciler.
    pub(crate) fn through_a_network(mut self) -> Self {
        self.network = Some(Network::to(self.reconciler.address()));
        self
    }

    /// Adds an option to the agents that are started from now on.
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A path in the world's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The agent's state folder.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// How an agent is started here.
    pub(crate) fn command(&self) -> Command {
        let mut command = command();
        let server = self.network.as_ref().map_or_else(|| self.reconciler.url(), Network::url);
        let runtime = if self.engine.is_some() { "docker" } else { "process" };
        command
            .args(["run", "--name", self.node.as_str(), "--server", &server])
            .args(["--runtime", runtime])
            .arg("--key")
            .arg(self.path("key"))
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(&self.options);
        command
    }

    /// Starts an agent.
    pub(crate) fn start(&mut self) {
        assert!(self.agent.is_none(), "an agent runs already");
        self.agent = Some(Agent::spawn(self.command(), &self.path("agent.log")));
    }

    /// Starts an agent that is killed when it comes by a point, and waits for that.
    pub(crate) fn start_until(&mut self, point: Point) {
        let place = Point::ALL.iter().position(|other| *other == point).unwrap();
        let command = self.command();
        let mut killed = Command::new(killed_program());
        killed.arg(place.to_string()).args(command.get_args()).stdin(Stdio::null());
        let mut agent = Agent::spawn(killed, &self.path("agent.log"));
        let status = self.wait(&format!("an agent to come by {point:?}"), |_| agent.ended());
        assert_eq!(status.signal(), Some(9), "{point:?}: {}", agent.log());
    }

    /// Kills the agent with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.agent.take().unwrap().kill();
    }

    /// Stops the agent with SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait_stopped()
    }

    /// Asks the agent to stop, with SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        self.agent.as_ref().unwrap().terminate();
    }

    /// Waits until the agent that was asked to has stopped.
    pub(crate) fn wait_stopped(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().unwrap();
        self.wait("the end of the agent", |_| agent.ended())
    }

    /// What the agent has logged.
    pub(crate) fn agent_log(&self) -> String {
        self.agent.as_ref().unwrap().log()
    }

    /// Declares jobs, and nothing else.
    pub(crate) fn declare(&mut self, jobs: impl Into<Vec<Job>>) {
        self.desired.jobs = jobs.into();
        self.declare_again();
    }

    /// Declares what `desired` says, as a new generation.
    pub(crate) fn declare_again(&mut self) {
        self.desired.generation += 1;
        self.reconciler.declare(&self.desired);
    }

    /// Waits for something, as long as all is well.
    pub(crate) fn wait<T>(&mut self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        let start = std::time::Instant::now();
        loop {
            self.check();
            if let Some(value) = condition(self) {
                return value;
            }
            assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for {what}");
            pause(std::time::Duration::from_millis(10));
        }
    }

    /// Waits for something that the reconciler is told.
    pub(crate) fn wait_told<T>(&mut self, what: &str, condition: impl Fn(&Record) -> Option<T>) -> T {
        self.wait(what, |world| condition(&world.reconciler.record()))
    }

    /// Waits until an event of a job's run arrives.
    pub(crate) fn wait_phase(&mut self, job: &str, phase: almanac_schemas::Phase) -> Run {
        self.wait_told(&format!("{job} to be {phase}"), |record| {
            record.runs(job).into_iter().find(|run| run.phases().contains(&phase))
        })
    }

    /// Waits until the first so many runs of a job have ended.
    pub(crate) fn wait_ended(&mut self, job: &str, count: usize) -> Vec<Run> {
        self.wait_told(&format!("the end of {count} runs of {job}"), |record| {
            let runs: Vec<Run> = record.runs(job).into_iter().take(count).collect();
            (runs.len() == count && runs.iter().all(|run| run.end().is_some())).then_some(runs)
        })
    }

    /// Waits until the one run of a job has ended.
    pub(crate) fn wait_end(&mut self, job: &str) -> Run {
        self.wait_ended(job, 1).remove(0)
    }

    /// Waits until an agent says that it holds what was declared last.
    pub(crate) fn wait_followed(&mut self) {
        let (epoch, generation) = (self.desired.epoch.clone(), self.desired.generation);
        self.wait_told("the agent to follow", |record| {
            let last = record.heartbeats.last()?;
            (last.epoch == epoch && last.generation == generation).then_some(())
        });
    }

    /// Runs a job that was declared alone, and returns its run and its log.
    pub(crate) fn run(&mut self, name: &str, job: Job) -> (Run, String) {
        self.declare([job]);
        if self.agent.is_none() {
            self.start();
        }
        let run = self.wait_end(name);
        let log = self.log(&run);
        (run, log)
    }

    /// A stored file of a run.
    pub(crate) fn file(&self, run: &Run, name: &str) -> Option<Vec<u8>> {
        self.reconciler.record().stored(&run.key, name).map(<[u8]>::to_vec)
    }

    /// A stored text of a run; empty when there is none.
    pub(crate) fn text(&self, run: &Run, name: &str) -> String {
        String::from_utf8(self.file(run, name).unwrap_or_default()).unwrap()
    }

    /// What a run wrote to both streams, as far as it is stored.
    pub(crate) fn log(&self, run: &Run) -> String {
        String::from_utf8(log::plain(&self.file(run, "run.log").unwrap_or_default())).unwrap()
    }

    /// What a run wrote to its standard output, as far as it is stored. A shell may say on the other stream that a command of
    /// its was terminated, sooner or later than that.
    pub(crate) fn stdout(&self, run: &Run) -> String {
        let log = self.file(run, "run.log").unwrap_or_default();
        let is_stdout = |line: &&[u8]| Line::parse(line).is_some_and(|line| line.stream == Stream::Stdout);
        let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').filter(is_stdout).collect();
        String::from_utf8(log::plain(&lines.concat())).unwrap()
    }

    /// All events so far, in the order of their arrival.
    pub(crate) fn arrivals(&self) -> Vec<RunEvent> {
        self.reconciler.record().arrivals.clone()
    }

    /// The lines of a file that the runs write to.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                Vec::new()
            }
        }
    }

    /// The names of the node's containers, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.engine.as_ref().unwrap().containers()
    }

    /// Waits until nothing is left of any run: no process, no container, no folder.
    pub(crate) fn wait_tidy(&mut self) {
        self.wait("the runs' remains to go", |world| {
            let runs = fs::read_dir(world.state_dir().join("runs")).unwrap().count();
            let containers = world.engine.as_ref().map(Engine::containers).unwrap_or_default();
            (runs == 0 && containers.is_empty() && world.processes().is_empty()).then_some(())
        });
    }

    /// The processes of the world's runs.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes::of(self.folder.path())
    }

    /// Fails when something happened that must not.
    fn check(&mut self) {
        let violations = self.reconciler.record().violations.clone();
        assert!(violations.is_empty(), "the agent did what it must not:\n{}", violations.join("\n"));
        if let Some(status) = self.agent.as_mut().and_then(Agent::ended) {
            panic!("the agent ended by itself with {status}");
        }
    }
}

/// The example that is an agent which is killed.
fn killed_program() -> PathBuf {
    let binaries = Path::new(env!("CARGO_BIN_EXE_almanac-node")).parent().unwrap();
    let program = binaries.join("examples/kill_agent_at");
    assert!(program.exists(), "make it with `cargo build -p almanac-node --example kill_agent_at`");
    program
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.path("agent.log")).unwrap_or_default();
            eprintln!("--- what the agent said ---\n{log}");
            for event in &self.reconciler.record().arrivals {
                eprintln!("{event:?}");
            }
        }
        drop(self.agent.take());
        processes::kill(self.folder.path());
        if let Some(engine) = &self.engine {
            engine.remove_all();
        }
        if !thread::panicking() {
            self.check();
        }
    }
}
