//! How long it takes to bring home what an outage left: the real reconciler on SQLite, the real agent, and a journal that
//! was filled as if the agent had been alone for a day.
//!
//! `cargo build --release -p almanac-reconciler && cargo bench -p almanac-node --bench backlog`

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use almanac_node::{
    journal::{Journal, Settlement, UploadFile},
    run::{Collected, Exit, Observation, Order, State, Step, Transition},
    state_dir::RunDir,
};
use almanac_proto::identity;
use almanac_schemas::{JobSpec, Phase, Reason, RunRole, node::Limits};
use harness::{Agent, Network, Weather, command, pause, wait_for};

/// The outage.
const OUTAGE: TimeDelta = TimeDelta::hours(24);

/// The goal for 5,000 runs.
const GOAL: Duration = Duration::from_secs(10);

/// What is declared of the job. It is due long after the measurement.
const JOB: &str = "{ owner: alice, nodes: [london-01], schedule: { at: 2036-01-01T00:00:00Z, length: 10s }, \
                   exclusive: false, container: { image: busybox, network: none } }";

fn main() {
    // `cargo test --benches` runs this too, without this flag; it is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let took = measure(&runtime, 5_000, false, None);
    measure(&runtime, 200, true, Some(Duration::from_millis(25)));
    assert!(took < GOAL, "5,000 runs take {took:?}, more than {GOAL:?}");
}

/// Delivers so many runs, through a network that is so slow in each direction.
fn measure(runtime: &Runtime, runs: usize, with_files: bool, slow: Option<Duration>) -> Duration {
    let bed = Bed::new();
    let events = runtime.block_on(fill(&bed, runs, with_files));
    let network = Network::to(bed.address);
    if let Some(delay) = slow {
        network.is(Weather::Slow(delay));
    }
    let files = if with_files { 3 * runs } else { 0 };
    let begun = Instant::now();
    let agent = Agent::spawn(bed.agent(&network.url()), &bed.folder.path().join("agent.log"));
    let found = wait_for("everything to be home", || {
        pause(Duration::from_millis(20));
        let found = runtime.block_on(bed.found());
        (found.ended == runs && found.events >= events && found.files >= files).then_some(found)
    });
    let took = begun.elapsed();
    // Whatever would be said twice is said by now.
    pause(Duration::from_secs(2));
    let after = runtime.block_on(bed.found());
    assert_eq!(found, after, "nothing is added to what is home");
    assert_eq!((after.runs, after.ended), (runs, runs), "{}", agent.log());
    assert_eq!((after.events, after.files), (events, files));
    assert_eq!(stored(&bed.folder.path().join("store")), files);
    drop(agent);
    let round_trip = slow.map_or(String::new(), |delay| format!(", round trip {:?}", 2 * delay));
    println!("{runs} runs, {events} events, {files} files{round_trip}: {:.2} s", took.as_secs_f64());
    took
}

/// What the reconciler has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    runs: usize,
    ended: usize,
    events: usize,
    files: usize,
}

/// A reconciler with a node, and a folder for all of it.
struct Bed {
    reconciler: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repo");
        fs::create_dir_all(&repository).unwrap();
        let alice = identity::generate(&folder.path().join("alice"), "alice").unwrap();
        let node = identity::generate(&folder.path().join("key"), "london-01").unwrap();
        let manifest = |kind: &str, name: &str, spec: &str| {
            format!("---\napiVersion: almanac/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
        };
        let text = [
            manifest("User", "alice", &format!("{{ role: admin, keys: [\"{alice}\"] }}")),
            manifest("Node", "london-01", &format!("{{ owner: alice, keys: [\"{node}\"] }}")),
            manifest("Job", "probe", JOB),
        ];
        fs::write(repository.join("testbed.yaml"), text.concat()).unwrap();
        for arguments in [
            "init --quiet --initial-branch=main",
            "add --all",
            "-c user.name=Alice -c user.email=alice@example.org -c commit.gpgsign=false commit --quiet -m testbed",
        ] {
            let git = Command::new("git").current_dir(&repository).args(arguments.split(' ')).status();
            assert!(git.unwrap().success(), "git {arguments}");
        }
        let log = folder.path().join("reconciler.log");
        let reconciler = Command::new(program())
            .current_dir(folder.path())
            .args(["serve", "--repo", "repo", "--database", "sqlite://almanac.db", "--listen", "127.0.0.1:0"])
            .arg("--artifacts")
            .arg(folder.path().join("store"))
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = wait_for("the reconciler to listen", || {
            let text = fs::read_to_string(&log).unwrap();
            text.split_once("address=")?.1.split_once([' ', '\n'])?.0.parse().ok()
        });
        Self { reconciler, address, folder }
    }

    fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn agent(&self, server: &str) -> Command {
        let mut command = command();
        command.args([
            "--log",
            "warn",
            "run",
            "--name",
            "london-01",
            "--runtime",
            "process",
            "--server",
            server,
        ]);
        command.arg("--key").arg(self.folder.path().join("key")).arg("--state-dir").arg(self.state_dir());
        command
    }

    async fn found(&self) -> Found {
        let path = self.folder.path().join("almanac.db");
        let database = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).read_only(true));
        let database = database.await.unwrap();
        let (runs, ended, events, files): (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM runs WHERE phase = 'COMPLETED'),
             (SELECT count(*) FROM run_events), (SELECT count(*) FROM artifacts)",
        )
        .fetch_one(&database)
        .await
        .unwrap();
        database.close().await;
        let [runs, ended, events, files] = [runs, ended, events, files].map(|count| count as usize);
        Found { runs, ended, events, files }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.reconciler.kill();
        let _ = self.reconciler.wait();
    }
}

/// The reconciler's program, as it is built beside the agent's.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_almanac-node")).with_file_name("almanac-reconciler");
    assert!(program.exists(), "make it with `cargo build --release -p almanac-reconciler`");
    program
}

/// How many files are below a folder.
fn stored(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { stored(&path) } else { 1 }).sum()
}

/// Writes the journal of an agent that ran so much and reached nobody. Returns how many events there are to be.
async fn fill(bed: &Bed, runs: usize, with_files: bool) -> usize {
    fs::create_dir_all(bed.state_dir()).unwrap();
    let journal = Journal::open(&bed.state_dir().join("journal.sqlite")).await.unwrap();
    let step = OUTAGE / i32::try_from(runs).unwrap();
    let first = (Utc::now() - OUTAGE).trunc_subsecs(0);
    for index in 0..runs {
        let order = order(first + step * i32::try_from(index).unwrap());
        let at = order.scheduled_at.0;
        let begun = State::begin(at);
        let settlement = Settlement { order: order.clone(), transition: begun.clone() };
        journal.settle(&[settlement], at).await.unwrap();
        let running = begun.state.next(Observation::Started(at), at);
        journal.advance(&order, &running, at).await.unwrap();
        if with_files {
            let exit = Exit { at, code: Some(0), out_of_memory: false };
            let ended = running.state.next(Observation::Exited(exit), at);
            journal.advance(&order, &ended, at).await.unwrap();
            let files = leave(bed, &order, index);
            let packed = ended.state.next(Observation::Collected(Collected::Whole), at);
            journal.advance_with(&order, &packed, &files, at).await.unwrap();
        } else {
            let step = Step {
                phase: Phase::Completed,
                reason: Some(Reason::ExitCode),
                message: String::new(),
                at,
                exit_code: Some(0),
            };
            let ended = Transition { state: State::Finished, step: Some(step) };
            journal.advance(&order, &ended, at).await.unwrap();
        }
    }
    journal.close().await;
    // The last event of a run with files follows when they are home.
    if with_files { 4 * runs } else { 3 * runs }
}

fn order(at: DateTime<Utc>) -> Order {
    Order {
        begin_at: None,
        job: "probe".parse().unwrap(),
        node: "london-01".parse().unwrap(),
        role: RunRole::Client,
        scheduled_at: almanac_schemas::Instant(at),
        start_by: almanac_schemas::Instant(at),
        spec: serde_yaml::from_str::<JobSpec>(JOB).unwrap(),
        limits: Limits::default(),
        network: "almanac".to_owned(),
        commit: "0".repeat(40),
    }
}

/// What a run leaves: facts and a log of the usual size, and artifacts, of each tenth run large ones.
fn leave(bed: &Bed, order: &Order, index: usize) -> Vec<UploadFile> {
    let dir = RunDir::at(bed.state_dir().join("runs").join(order.key().to_string()));
    fs::create_dir_all(dir.outbox()).unwrap();
    let artifacts = if index.is_multiple_of(10) { 512 << 10 } else { 20 << 10 };
    let file = |(name, size): (&str, usize)| {
        let content = noise(index, size);
        fs::write(dir.outbox().join(name), &content).unwrap();
        UploadFile { name: name.to_owned(), size: size as u64, sha256: Sha256::digest(&content).into() }
    };
    [("artifacts.tar.zst", artifacts), ("run.json", 500), ("run.log", 4 << 10)].map(file).into()
}

fn noise(seed: usize, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).flat_map(|block| Sha256::digest(format!("{seed} {block}")));
    blocks.take(length).collect()
}
