//! What an agent costs its host while nothing is due: memory, processor time, and how often it wakes up.
//! `cargo bench -p almanac-node --bench idle [-- SECONDS [docker]]`
//!
//! The program itself follows a reconciler of the tests, which declares 100 jobs that are due in hours and asks for a
//! heartbeat every 30 seconds, as real ones do. What is measured is what the kernel says of its process
//! (proc_pid_stat(5), proc_pid_status(5)).

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]
#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

use std::{fs, path::Path, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::json;

use harness::{Job, World, pause};

const JOBS: i64 = 100;

/// How long an agent may be busy with its start.
const SETTLE: Duration = Duration::from_secs(10);

/// The kernel's ticks in a second, on every machine that Linux runs on today.
const TICKS: f64 = 100.0;

/// The goals.
const MEMORY: f64 = 25.0;
const SHARE: f64 = 0.2;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let seconds = arguments.next().and_then(|argument| argument.parse().ok()).unwrap_or(60);
    let mut world = match arguments.next().as_deref() {
        Some("docker") => World::with_docker(),
        _ => World::new(),
    };
    let day = Utc::now() + TimeDelta::hours(6);
    world.declare(
        (0..JOBS)
            .map(|index| {
                Job::once(&format!("job-{index}"), day + TimeDelta::minutes(index))
                    .spec("config", json!({"targets": ["192.0.2.1", "192.0.2.2"], "count": 200}))
            })
            .collect::<Vec<_>>(),
    );
    world.start();
    world.wait_followed();
    pause(SETTLE);
    let process = Path::new("/proc").join(world.agent.as_ref().unwrap().id().to_string());
    let before = Seen::of(&process);
    pause(Duration::from_secs(seconds));
    let after = Seen::of(&process);

    let minutes = seconds as f64 / 60.0;
    let busy = after.ticks - before.ticks;
    let share = busy / TICKS / seconds as f64 * 100.0;
    let per_minute = |before: f64, after: f64| (after - before) / minutes;
    println!("{JOBS} jobs, none due, {seconds} s");
    println!("resident memory   {:.1} MiB (at most {:.1}), goal < {MEMORY}", after.resident, after.peak);
    println!("processor time    {share:.3} % of one core, goal < {SHARE}");
    println!("woken up          {:.1} times per minute", per_minute(before.woken, after.woken));
    println!("interrupted       {:.1} times per minute", per_minute(before.interrupted, after.interrupted));
    println!("heartbeats        {}", world.reconciler.record().heartbeats.len());
    assert!(after.resident < MEMORY && share < SHARE, "more than its host should notice");
}

/// What the kernel says of a process.
struct Seen {
    /// MiB.
    resident: f64,
    peak: f64,
    ticks: f64,
    /// How often any of its threads waited for something and got it.
    woken: f64,
    /// How often one was made to wait for another process.
    interrupted: f64,
}

impl Seen {
    fn of(process: &Path) -> Self {
        let status = fs::read_to_string(process.join("status")).unwrap();
        let stat = fs::read_to_string(process.join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split_whitespace().collect();
        let [user, system] = [11, 12].map(|field| fields[field].parse::<f64>().unwrap());
        // The switches of a process are those of its first thread; each other has a file of its own.
        let threads = fs::read_dir(process.join("task")).unwrap();
        let threads: Vec<String> = threads
            .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
            .collect();
        let sum = |name: &str| threads.iter().map(|status| number(status, name)).sum();
        Self {
            resident: number(&status, "VmRSS") / 1024.0,
            peak: number(&status, "VmHWM") / 1024.0,
            ticks: user + system,
            woken: sum("voluntary_ctxt_switches"),
            interrupted: sum("nonvoluntary_ctxt_switches"),
        }
    }
}

/// The number of a line `name: number [unit]`.
fn number(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
