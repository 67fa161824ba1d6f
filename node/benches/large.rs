//! How fast a large file comes home, beside what `curl -T` to nginx makes of it on the same machine, and how much memory
//! it takes on both sides.
//!
//! `cargo build --release -p almanac-reconciler && cargo bench -p almanac-node --bench large`; it needs nginx and curl.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

#[path = "bed/mod.rs"]
mod bed;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use chrono::{SubsecRound, Utc};
use tokio::runtime::Runtime;

use almanac_node::journal::Journal;
use bed::Bed;
use harness::{Agent, pause, wait_for};

/// The size of the file.
const SIZE: usize = 1 << 30;

/// How often each is measured, in turn; the best of each counts, since the disk is busy with what was written before.
const TIMES: usize = 3;

fn main() {
    // `cargo test --benches` runs this too, without this flag; it is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let content = bed::noise(0, SIZE);
    let mut best = [Duration::MAX; 2];
    for _ in 0..TIMES {
        let [ours, theirs] = [upload(&runtime, &content), nginx(&content)];
        best = [best[0].min(ours), best[1].min(theirs)];
    }
    let [ours, theirs] = best.map(rate);
    let share = ours / theirs;
    println!("best: the agent {ours:.0} MiB/s, curl to nginx {theirs:.0} MiB/s: {share:.2} of it, goal 0.5");
}

/// MiB in a second.
fn rate(took: Duration) -> f64 {
    SIZE as f64 / (1 << 20) as f64 / took.as_secs_f64()
}

/// From the start of the agent until the reconciler has stored the file.
fn upload(runtime: &Runtime, content: &[u8]) -> Duration {
    let bed = Bed::new();
    runtime.block_on(async {
        fs::create_dir_all(bed.state_dir()).unwrap();
        let journal = Journal::open(&bed.state_dir().join("journal.sqlite")).await.unwrap();
        let (order, running) = bed::run(&journal, Utc::now().trunc_subsecs(0)).await;
        let file = bed::leave(&bed, &order, "artifacts.tar.zst", content);
        bed::end(&journal, &order, running, &[file]).await;
        journal.close().await;
    });
    settle();
    let begun = Instant::now();
    let url = format!("http://{}", bed.address);
    let agent = Agent::spawn(bed.agent(&url), &bed.folder.path().join("agent.log"));
    wait_for("the file to be home", || {
        pause(Duration::from_millis(20));
        let found = runtime.block_on(bed.found());
        (found.files == 1).then_some(())
    });
    let took = begun.elapsed();
    let memory = [agent.id(), bed.reconciler.id()].map(memory);
    let [agent_memory, reconciler_memory] = memory;
    println!(
        "agent to reconciler: {:.2} s, {:.0} MiB/s; memory at most {agent_memory:.0} and {reconciler_memory:.0} MiB",
        took.as_secs_f64(),
        rate(took)
    );
    took
}

/// The same file by `curl -T` to nginx.
fn nginx(content: &[u8]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    let (server, url) = serve(folder.path());
    settle();
    let begun = Instant::now();
    let status =
        Command::new("curl").args(["--silent", "--fail", "-T"]).arg(&path).arg(&url).status().unwrap();
    let took = begun.elapsed();
    assert!(status.success());
    drop(server);
    println!("curl to nginx: {:.2} s, {:.0} MiB/s", took.as_secs_f64(), rate(took));
    took
}

/// What was written before is on the disk before anything is measured.
fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

/// The most memory that a process has had, in MiB (proc_pid_status(5)).
fn memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// An nginx that takes files, and ends with this value.
struct Server(Child);

fn serve(folder: &Path) -> (Server, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let root = folder.display();
    let settings = format!(
        "daemon off; pid {root}/pid; error_log {root}/error.log; user root; events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/body; \
         server {{ listen 127.0.0.1:{port}; root {root}/store; client_max_body_size 0; dav_methods PUT; }} }}"
    );
    fs::create_dir(folder.join("store")).unwrap();
    fs::write(folder.join("nginx.conf"), settings).unwrap();
    let nginx = Command::new("nginx").arg("-c").arg(folder.join("nginx.conf")).spawn().unwrap();
    wait_for("nginx to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
    (Server(nginx), format!("http://127.0.0.1:{port}/file"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its master ends its workers when it is asked to end, and not when it is killed.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}
