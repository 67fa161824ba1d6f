//! What the reconciler holds while many nodes get orbits, and get them again when they changed.
//! `cargo bench -p almanac-reconciler --bench orbits -- [NODES [SATELLITES]]`
//!
//! It starts the program itself, with a file of orbits and a repository whose nodes all ask for them, and a stream of the desired
//! state for each node.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use almanac_proto::{Connection, Endpoint, Identity, identity, v1};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::Streaming;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(300);

type Stream = Streaming<v1::WatchDesiredStateResponse>;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let nodes = numbers.next().unwrap_or(1000);
    let satellites = numbers.next().unwrap_or(7000);
    raise_files(nodes as u64 + 500);
    let folder = tempfile::tempdir().unwrap();
    let tle = write_orbits(folder.path(), satellites, 1);
    prepare(folder.path(), nodes, &tle);
    let program = Program::start(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(folder.path(), &program, nodes, satellites));
}

/// Every connection is a file, here and there: the program inherits the limit.
fn raise_files(most: u64) {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(most).max(most);
    if now.current.is_some_and(|current| current < most) {
        let limit = Rlimit { current: Some(most), maximum: Some(hard) };
        setrlimit(Resource::Nofile, limit).expect("the limit of open files can be raised");
    }
}

/// Element sets whose digits do not repeat: they are to pack as real ones do, which is to less than a half.
fn write_orbits(folder: &Path, satellites: usize, seed: u64) -> PathBuf {
    let mut state = seed;
    let mut digits = |count: usize| -> String {
        (0..count)
            .map(|_| {
                // Numerical Recipes, chapter 7.1.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + (state >> 33) as u8 % 10)
            })
            .collect()
    };
    let mut text = String::new();
    for number in 0..satellites {
        let number = 10_000 + number;
        let (day, slowing, drag) = (digits(8), digits(8), digits(5));
        let first = format!("1 {number}U 24001A   26100.{day}  .{slowing}  00000-0  {drag}-4 0  999");
        let (tilt, right, shape, perigee) = (digits(4), digits(4), digits(7), digits(4));
        let (anomaly, motion, turns) = (digits(4), digits(8), digits(5));
        let second = format!(
            "2 {number}  53.{tilt} 123.{right} {shape}  90.{perigee} 123.{anomaly} 15.{motion}{turns}"
        );
        text += &format!("STARLINK-{number}\n{}\n{}\n", with_checksum(&first), with_checksum(&second));
    }
    let path = folder.join("orbits.tle");
    fs::write(&path, text).unwrap();
    path
}

/// The last digit of a line (celestrak.org/NORAD/documentation/tle-fmt.php).
fn with_checksum(line: &str) -> String {
    let worth = |digit: char| digit.to_digit(10).unwrap_or(u32::from(digit == '-'));
    let sum: u32 = line.chars().map(worth).sum();
    format!("{line}{}", sum % 10)
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder.join("repo"))
        .args(["-c", "user.name=Alice", "-c", "user.email=alice@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with an admin and nodes that ask for orbits, and a key for each.
fn prepare(folder: &Path, nodes: usize, tle: &Path) {
    fs::create_dir_all(folder.join("repo")).unwrap();
    fs::create_dir_all(folder.join("keys")).unwrap();
    let alice = identity::generate(&folder.join("keys/alice"), "alice").unwrap();
    let mut text = format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: alice }}\nspec: {{ role: admin, keys: [\"{alice}\"] }}\n---\n\
         apiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec: {{ satellites: {{ tle: \"{}\" }} }}\n",
        tle.display()
    );
    for node in 0..nodes {
        let key = identity::generate(&folder.join(format!("keys/node-{node}")), "node").unwrap();
        text += &format!(
            "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: node-{node} }}\nspec:\n  owner: alice\n  keys: [\"{key}\"]\n  \
             coordinates: {{ latitude: 51.5, longitude: -0.1 }}\n  telemetry: {{ satellites: {{}} }}\n"
        );
    }
    fs::write(folder.join("repo/testbed.yaml"), text).unwrap();
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "-m", "nodes"]);
}

/// The program, which ends with this value.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let log = folder.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"))
            .current_dir(folder)
            .args(["serve", "--repo", "repo", "--database", "sqlite://almanac.db", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut program = Self { child, address: String::new() };
        let begun = std::time::Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some((_, after)) = text.split_once("address=") {
                program.address = format!("http://{}", after.split_once(' ').unwrap().0);
                return program;
            }
            assert!(begun.elapsed() < LIMIT, "the reconciler does not listen: {text}");
            std::thread::yield_now();
        }
    }

    fn connect(&self, folder: &Path, name: &str) -> Connection {
        let key = folder.join("keys").join(name);
        let identity = Identity::read(&key, name.parse().unwrap(), "almanac").unwrap();
        Endpoint::new(&self.address, false).unwrap().connect(Some(identity)).unwrap()
    }

    /// What it holds now and at most held, in MiB, by `/proc/PID/status`.
    fn memory(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
        };
        format!("{} MiB now, {} MiB at most", field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a node's stream until it brings orbits, and says how long they are as they came.
async fn orbits(mut stream: Stream) -> (Stream, usize) {
    let next = async {
        loop {
            let message = stream.message().await.unwrap().expect("the stream goes on");
            if let Some(orbits) = message.orbits.filter(|orbits| !orbits.tle_zstd.is_empty()) {
                return orbits.tle_zstd.len();
            }
        }
    };
    let length = timeout(LIMIT, next).await.expect("orbits in time");
    (stream, length)
}

async fn measure(folder: &Path, program: &Program, nodes: usize, satellites: usize) {
    let mut alice = program.connect(folder, "alice").testbed();
    let begun = Instant::now();
    while alice.who_am_i(v1::WhoAmIRequest {}).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "the repository is not put in force");
        sleep(Duration::from_millis(50)).await;
    }
    let watch = async |node: usize| {
        let name = format!("node-{node}");
        let request = v1::WatchDesiredStateRequest { node: name.clone(), ..Default::default() };
        program.connect(folder, &name).node().watch_desired_state(request).await.unwrap().into_inner()
    };
    let (first, length) = orbits(watch(0).await).await;
    println!("{satellites} satellites, {length} bytes when packed; with one node: {}", program.memory());

    let begun = Instant::now();
    let mut reading = JoinSet::from_iter([async move { (first, length) }]);
    for node in 1..nodes {
        reading.spawn(orbits(watch(node).await));
    }
    let streams = reading.join_all().await;
    println!("{nodes} nodes have them after {:.1} s: {}", begun.elapsed().as_secs_f64(), program.memory());

    write_orbits(folder, satellites, 2);
    git(folder, &["commit", "--quiet", "--allow-empty", "-m", "nothing"]);
    let begun = Instant::now();
    alice.sync_now(v1::SyncNowRequest {}).await.unwrap();
    let reading: JoinSet<_> = streams.into_iter().map(|(stream, _)| orbits(stream)).collect();
    let streams = reading.join_all().await;
    println!(
        "{} nodes have newer ones {:.1} s after a commit: {}",
        streams.len(),
        begun.elapsed().as_secs_f64(),
        program.memory()
    );
}
