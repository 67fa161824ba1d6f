//! From commits to the database and to agents: a testbed of 10,000 jobs on 1,000 nodes.
//!
//! `cargo bench -p almanac-reconciler --bench sync`, with `ALMANAC_TEST_POSTGRES=postgres://USER@HOST:PORT/postgres` for the
//! same on PostgreSQL. It takes some minutes, prints a line for each figure, and ends by itself.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use almanac_proto::{Endpoint, Identity, identity, v1};
use almanac_reconciler::{
    clock,
    source::{Location, Repository},
    step::{Step, Steps},
    store::Store,
    sync::{News, Reconciler, Round},
};

const NODES: usize = 1_000;
const JOBS_PER_NODE: usize = 10;
const CHANGES: usize = 100;
const PUSHES: usize = 100;

/// What ten jobs of a node do, none in another's way: expressions and lengths in seconds.
const MIX: [(&str, u32); JOBS_PER_NODE] = [
    ("*/15 * * * *", 120),
    ("5 * * * *", 120),
    ("10 */2 * * *", 180),
    ("20 3 * * *", 200),
    ("24 4,16 * * MON-FRI", 240),
    ("35 5 1,15 * *", 240),
    ("40 6 L * *", 240),
    ("50 7 * * SUN#1", 540),
    ("13 13 * * *", 60),
    ("33 2 * * *", 60),
];

fn main() {
    // `cargo test --benches` runs this too, with this flag; it is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::make(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        first_syncs(&bed).await;
        changes(&bed).await;
        pushes(&bed).await;
    });
}

/// A repository of 11,001 manifests, and the keys that it needs.
struct Bed {
    folder: PathBuf,
    databases: Mutex<u32>,
}

impl Bed {
    fn make(folder: &Path) -> Self {
        let bed = Self { folder: folder.to_owned(), databases: Mutex::new(0) };
        let admin = identity::generate(&folder.join("admin"), "admin").unwrap().to_string();
        let node = identity::generate(&folder.join("node-0000"), "node-0000").unwrap().to_string();
        bed.git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", "testbed.git"]);
        bed.git(folder, &["init", "--quiet", "--initial-branch=main", "clone"]);
        bed.git(&bed.clone_path(), &["remote", "add", "origin", "../testbed.git"]);
        bed.write(
            "users/admin.yaml",
            &format!("apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: admin }}\nspec: {{ role: admin, keys: [\"{admin}\"] }}\n"),
        );
        for n in 0..NODES {
            let keys = if n == 0 { format!("[\"{node}\"]") } else { "[]".to_owned() };
            let text = format!(
                "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: node-{n:04}, labels: {{ site: \"{}\" }} }}\nspec: {{ owner: admin, keys: {keys} }}\n",
                n % 50
            );
            bed.write(&format!("nodes/node-{n:04}.yaml"), &text);
            for job in 0..JOBS_PER_NODE {
                bed.write_job(n, job, "probe:1");
            }
        }
        bed.push("all of it");
        bed
    }

    fn clone_path(&self) -> PathBuf {
        self.folder.join("clone")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.clone_path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_job(&self, node: usize, job: usize, image: &str) {
        let (cron, length) = MIX[job];
        let mut text = String::new();
        write!(
            text,
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: job-{node:04}-{job} }}\nspec:\n  owner: admin\n  nodes: [node-{node:04}]\n  \
             schedule: {{ cron: \"{cron}\", end: 2028-01-01T00:00:00Z, length: {length}s }}\n  \
             container:\n    image: registry.example.org/{image}\n    command: [probe, --to, example.org]\n"
        )
        .unwrap();
        self.write(&format!("jobs/node-{node:04}/job-{job}.yaml"), &text);
    }

    fn push(&self, message: &str) -> String {
        let clone = self.clone_path();
        self.git(&clone, &["add", "--all"]);
        self.git(&clone, &["commit", "--quiet", "-m", message]);
        self.git(&clone, &["push", "--quiet", "--force", "origin", "main"]);
        self.git(&clone, &["rev-parse", "HEAD"])
    }

    fn git(&self, folder: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(folder)
            .args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The address of a new database.
    #[expect(clippy::disallowed_methods, reason = "a benchmark has no other configuration")]
    async fn database(&self) -> String {
        let number = {
            let mut databases = self.databases.lock().unwrap();
            *databases += 1;
            *databases
        };
        let Ok(server) = std::env::var("ALMANAC_TEST_POSTGRES") else {
            return format!("sqlite://{}/almanac-{number}.db", self.folder.display());
        };
        let name = format!("bench_{}_{number}", std::process::id());
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&server).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        let (host, _) = server.rsplit_once('/').unwrap();
        format!("{host}/{name}")
    }

    async fn reconciler(&self, steps: Steps) -> Reconciler {
        let store = Store::open(&self.database().await).await.unwrap();
        let location = Location::Local(self.folder.join("testbed.git"));
        let repository = Repository::new(location, "main", "", self.folder.join("mirror.git"));
        Reconciler::new(repository, store).await.unwrap().with_steps(steps)
    }
}

/// When each step was over.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<(Step, Instant)>>>);

impl Times {
    fn steps(&self) -> Steps {
        let times = self.clone();
        Steps::new(move |step| times.0.lock().unwrap().push((step, Instant::now())))
    }

    fn take(&self) -> Vec<(Step, Instant)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A first sync, into an empty database.
async fn first_syncs(bed: &Bed) {
    let mut all = Vec::new();
    for _ in 0..3 {
        let times = Times::default();
        let mut reconciler = bed.reconciler(times.steps()).await;
        let begun = Instant::now();
        let Round::Recorded(sync, News::Applied(_)) = reconciler.round(clock::now()).await.unwrap() else {
            panic!("the first commit is not applied");
        };
        assert_eq!(sync.added as usize, 1 + NODES + NODES * JOBS_PER_NODE);
        all.push(begun.elapsed());
        parts("  first sync", begun, &times.take());
    }
    report("first sync of 10,000 jobs on 1,000 nodes", &mut all);
}

/// One job of 10,000 changes: from the nudge to the committed transaction.
async fn changes(bed: &Bed) {
    let times = Times::default();
    let mut reconciler = bed.reconciler(times.steps()).await;
    reconciler.round(clock::now()).await.unwrap();
    let mut all = Vec::new();
    for n in 0..CHANGES {
        bed.write_job(n % NODES, 3, &format!("probe:changed-{n}"));
        bed.push("one job");
        times.take();
        let begun = Instant::now();
        let Round::Recorded(sync, News::Applied(_)) = reconciler.round(clock::now()).await.unwrap() else {
            panic!("the change is not applied");
        };
        assert_eq!((sync.added, sync.changed, sync.removed), (0, 1, 0));
        let times = times.take();
        let committed = times.iter().find(|(step, _)| *step == Step::Committed).unwrap().1;
        all.push(committed - begun);
        if n + 1 == CHANGES {
            parts("  one change", begun, &times);
        }
    }
    report("one job of 10,000 changes, from the look to the commit", &mut all);
}

/// A push to a local repository, until the node's stream has the new state; and the memory meanwhile.
async fn pushes(bed: &Bed) {
    let server = Server::start(bed).await;
    let key = bed.folder.join("node-0000");
    let identity = Identity::read(&key, "node-0000".parse().unwrap(), "almanac").unwrap();
    let connection = Endpoint::new(&server.address, false).unwrap().connect(Some(identity)).unwrap();
    let request =
        v1::WatchDesiredStateRequest { node: "node-0000".to_owned(), epoch: String::new(), generation: 0 };
    let mut stream = loop {
        match connection.node().watch_desired_state(request.clone()).await {
            Ok(stream) => break stream.into_inner(),
            // Until the first commit is in force, nobody is known.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    stream.message().await.unwrap();
    println!(
        "memory with 10,000 jobs, after the first sync: {} MiB now, {} MiB at most",
        server.memory("VmRSS"),
        server.memory("VmHWM")
    );
    let mut all = Vec::new();
    for n in 0..PUSHES {
        bed.write_job(0, 4, &format!("probe:pushed-{n}"));
        let clone = bed.clone_path();
        bed.git(&clone, &["commit", "--quiet", "-a", "-m", "one job"]);
        let begun = Instant::now();
        bed.git(&clone, &["push", "--quiet", "origin", "main"]);
        stream.message().await.unwrap().unwrap();
        all.push(begun.elapsed());
    }
    report("from the start of `git push` until the node's stream has the new state", &mut all);
    println!(
        "memory after {PUSHES} pushes: {} MiB now, {} MiB at most",
        server.memory("VmRSS"),
        server.memory("VmHWM")
    );
}

/// The program itself.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    async fn start(bed: &Bed) -> Self {
        let log = bed.folder.join("reconciler.log");
        let output = fs::File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"))
            .args(["serve", "--listen", "127.0.0.1:0", "--poll-interval", "1h", "--repo"])
            .arg(bed.folder.join("testbed.git"))
            .arg("--data-dir")
            .arg(bed.folder.join("data"))
            .env("ALMANAC_RECONCILER_DATABASE", bed.database().await)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new() };
        while server.address.is_empty() {
            let text = fs::read_to_string(&log).unwrap();
            let found = text.split_once("address=").and_then(|(_, after)| after.split_whitespace().next());
            server.address = found.map(|address| format!("http://{address}")).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// MiB, from `/proc`.
    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parts(what: &str, begun: Instant, times: &[(Step, Instant)]) {
    let mut last = begun;
    let mut text = String::new();
    for (step, at) in times {
        write!(text, " {step:?} {:.1?}", *at - last).unwrap();
        last = *at;
    }
    println!("{what}:{text}");
}

fn report(what: &str, all: &mut [Duration]) {
    all.sort_unstable();
    let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)];
    println!(
        "{what}: p50 {:.1?}, p99 {:.1?}, max {:.1?}, {} times",
        at(50),
        at(99),
        all[all.len() - 1],
        all.len()
    );
}
