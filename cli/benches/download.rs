//! How fast the command downloads many small runs from a reconciler whose store is a folder.
//! `cargo build --release -p almanac -p almanac-reconciler; cargo bench -p almanac --bench download -- [RUNS]`
//!
//! It starts the real reconciler, and reports the runs and sends their files to it as agents do: to each run `run.json`,
//! `run.log` and `artifacts.tar.zst`. Then the reconciler is started anew with its usual limits, and the real command is
//! timed: on an empty folder, on the same folder again, and on one that misses the files of every other run.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use almanac_proto::{
    Endpoint, Identity,
    client::Signed,
    convert::timestamp,
    identity, limits,
    v1::{self, node_service_client::NodeServiceClient},
};
use almanac_schemas::RunId;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

/// How long the reconciler may take to put the repository in force.
const START: Duration = Duration::from_secs(60);

/// How many files are sent at a time.
const SENDING: usize = 64;

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begun = Instant::now();
    let reconciler = Reconciler::start(folder.path(), &["--config", "filling.toml"]);
    runtime.block_on(fill(folder.path(), &reconciler, runs));
    drop(reconciler);
    println!("{runs} runs with {} files were there after {:.0} s", runs * 3, begun.elapsed().as_secs_f64());

    let reconciler = Reconciler::start(folder.path(), &[]);
    let to = folder.path().join("results");
    let seconds = |what: &str| {
        let took = download(folder.path(), &reconciler, &to, runs);
        println!("{what}: {took:.2} s, {:.0} runs/s", runs as f64 / took);
    };
    seconds("an empty folder");
    seconds("all is there");
    let kept = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    kept.step_by(2).for_each(|run| fs::remove_dir_all(run).unwrap());
    seconds("half of it is there");
}

/// A repository with an admin, a node and a job, and their keys.
fn prepare(folder: &Path) {
    let repo = folder.join("repo");
    fs::create_dir(&repo).unwrap();
    let key = |name: &str| identity::generate(&folder.join(name), name).unwrap();
    let (alice, london) = (key("alice"), key("london-01"));
    let manifests = format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: alice }}\nspec: {{ role: admin, keys: [\"{alice}\"] }}\n\
         ---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: london-01 }}\nspec: {{ owner: alice, keys: [\"{london}\"] }}\n\
         ---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: ping }}\nspec:\n  owner: alice\n  nodes: [london-01]\n  \
         schedule: {{ cron: \"* * * * *\", start: 2026-01-01T00:00:00Z, end: 2027-12-01T00:00:00Z, length: 10s }}\n  \
         exclusive: false\n  container: {{ image: probe }}\n"
    );
    fs::write(repo.join("testbed.yaml"), manifests).unwrap();
    // Whoever fills it makes more calls than an agent may.
    let limits = "[limits]\nrequests-per-second = 1000000\nburst = 1000000\n";
    fs::write(folder.join("filling.toml"), limits).unwrap();
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "-qm",
            "all",
        ],
    ] {
        assert!(Command::new("git").current_dir(&repo).args(arguments).status().unwrap().success());
    }
}

/// A program that was built with this one.
fn program(name: &str) -> PathBuf {
    // This lies in `target/PROFILE/deps`.
    let this = std::env::current_exe().unwrap();
    let program = this.parent().unwrap().with_file_name(name);
    assert!(program.exists(), "build it: `cargo build --release -p almanac -p almanac-reconciler`");
    program
}

/// The reconciler, which ends with this value.
struct Reconciler {
    child: Child,
    address: String,
}

impl Reconciler {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let log = folder.join("log");
        let child = Command::new(program("almanac-reconciler"))
            .current_dir(folder)
            .args(["serve", "--repo", "repo", "--branch", "main", "--database", "sqlite://almanac.db"])
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut reconciler = Self { child, address: String::new() };
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some((_, after)) = text.split_once("address=")
                && let Some((address, _)) = after.split_once([' ', '\n'])
            {
                reconciler.address = format!("http://{}", address.trim_matches('"'));
                return reconciler;
            }
            assert!(begun.elapsed() < START && reconciler.child.try_wait().unwrap().is_none(), "{text}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // One that has ended already has nothing left to do.
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}

/// Reports runs that went well, one a minute, and sends their files.
async fn fill(folder: &Path, reconciler: &Reconciler, runs: usize) {
    let key = folder.join("london-01");
    let identity = Identity::read(&key, "london-01".parse().unwrap(), limits::DEFAULT_AUDIENCE).unwrap();
    let agent = Endpoint::new(&reconciler.address, false).unwrap().connect(Some(identity)).unwrap().node();
    let first: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let instants: Vec<_> = (0..runs).map(|run| first + TimeDelta::minutes(run.try_into().unwrap())).collect();
    let begun = Instant::now();
    for part in instants.chunks(limits::MAX_EVENTS / 3) {
        let events = part.iter().flat_map(|at| events(*at)).collect();
        let report = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
        // Until the repository is in force, nobody is known.
        while let Err(status) = agent.clone().report_runs(report.clone()).await {
            assert!(begun.elapsed() < START, "{status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let files = instants.iter().flat_map(|at| FILES.map(|(name, length)| (*at, name, length)));
    let sent = stream::iter(files).map(|(at, name, length)| send(agent.clone(), at, name, length));
    sent.buffer_unordered(SENDING).try_collect::<Vec<()>>().await.unwrap();
}

/// The files of a run, with their sizes in bytes.
const FILES: [(&str, usize); 3] = [("run.json", 600), ("run.log", 3_000), ("artifacts.tar.zst", 8_000)];

fn id(at: DateTime<Utc>) -> RunId {
    RunId::new(&"ping".parse().unwrap(), &"london-01".parse().unwrap(), at)
}

fn events(at: DateTime<Utc>) -> impl Iterator<Item = v1::RunEvent> {
    let phases = [v1::Phase::Running, v1::Phase::Uploading, v1::Phase::Completed];
    (1..).zip(phases).map(move |(sequence, phase)| v1::RunEvent {
        run_id: id(at).to_string(),
        job: "ping".to_owned(),
        role: v1::Role::Client.into(),
        scheduled_at: Some(timestamp(at)),
        sequence,
        phase: phase.into(),
        reason: if sequence == 3 { v1::Reason::ExitCode } else { v1::Reason::Unspecified }.into(),
        at: Some(timestamp(at + TimeDelta::seconds(sequence.cast_signed()))),
        exit_code: (sequence == 3).then_some(0),
        ..v1::RunEvent::default()
    })
}

async fn send(
    mut agent: NodeServiceClient<Signed>,
    at: DateTime<Utc>,
    name: &str,
    length: usize,
) -> Result<(), tonic::Status> {
    // No two are the same, and none compresses.
    let blocks = (0..length.div_ceil(32)).flat_map(|block| Sha256::digest(format!("{at} {name} {block}")));
    let content: Vec<u8> = blocks.take(length).collect();
    let request = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: id(at).to_string(),
        role: v1::Role::Client.into(),
        name: name.to_owned(),
        size: length as u64,
        sha256: Sha256::digest(&content).to_vec().into(),
        content: Some(content.into()),
        ..v1::BeginUploadRequest::default()
    };
    agent.begin_upload(request).await.map(|_| ())
}

/// Runs the command, and says how long it took.
fn download(folder: &Path, reconciler: &Reconciler, to: &Path, runs: usize) -> f64 {
    let mut command = Command::new(program("almanac"));
    command.args(["--user", "alice", "--key"]).arg(folder.join("alice"));
    command.args([
        "--server",
        &reconciler.address,
        "runs",
        "download",
        "--job",
        "ping",
        "--limit",
        "0",
        "--to",
    ]);
    let begun = Instant::now();
    let output = command.arg(to).output().unwrap();
    let took = begun.elapsed().as_secs_f64();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{} files of {runs} runs", runs * 3)), "{said}");
    println!("  {}", said.trim());
    took
}
