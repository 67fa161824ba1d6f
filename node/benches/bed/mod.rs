//! A real reconciler with a node, and an agent's journal that holds what was run before it starts.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use almanac_node::{
    journal::{Journal, Settlement, UploadFile},
    run::{Collected, Exit, Observation, Order, State, Transition},
    state_dir::RunDir,
};
use almanac_proto::identity;
use almanac_schemas::{JobSpec, RunRole, node::Limits};

use crate::harness::{command, wait_for};

/// What is declared of the job. It is due long after the measurement.
const JOB: &str = "{ owner: alice, nodes: [london-01], schedule: { at: 2036-01-01T00:00:00Z, length: 10s }, \
                   exclusive: false, container: { image: busybox, network: none } }";

/// What the reconciler has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) runs: usize,
    pub(crate) ended: usize,
    pub(crate) events: usize,
    pub(crate) files: usize,
}

/// A reconciler with a node, and a folder for all of it.
pub(crate) struct Bed {
    pub(crate) reconciler: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn agent(&self, server: &str) -> Command {
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

    pub(crate) async fn found(&self) -> Found {
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

/// Begins a run that was scheduled at an instant, and returns where it stands.
pub(crate) async fn run(journal: &Journal, at: DateTime<Utc>) -> (Order, Transition) {
    let order = order(at);
    let begun = State::begin(at);
    let settlement = Settlement { order: order.clone(), transition: begun.clone() };
    journal.settle(&[settlement], at).await.unwrap();
    let running = begun.state.next(Observation::Started(at), at);
    journal.advance(&order, &running, at).await.unwrap();
    (order, running)
}

/// Ends a run that left files, which are to be uploaded.
pub(crate) async fn end(journal: &Journal, order: &Order, running: Transition, files: &[UploadFile]) {
    let at = order.scheduled_at.0;
    let exit = Exit { at, code: Some(0), out_of_memory: false };
    let ended = running.state.next(Observation::Exited(exit), at);
    journal.advance(order, &ended, at).await.unwrap();
    let packed = ended.state.next(Observation::Collected(Collected::Whole), at);
    journal.advance_with(order, &packed, files, at).await.unwrap();
}

/// Puts a file where a run leaves what it packed.
pub(crate) fn leave(bed: &Bed, order: &Order, name: &str, content: &[u8]) -> UploadFile {
    let dir = RunDir::at(bed.state_dir().join("runs").join(order.key().to_string()));
    fs::create_dir_all(dir.outbox()).unwrap();
    fs::write(dir.outbox().join(name), content).unwrap();
    UploadFile { name: name.to_owned(), size: content.len() as u64, sha256: Sha256::digest(content).into() }
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
        peer: None,
    }
}

/// Bytes that no compression makes fewer.
pub(crate) fn noise(seed: usize, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).flat_map(|block| Sha256::digest(format!("{seed} {block}")));
    blocks.take(length).collect()
}
