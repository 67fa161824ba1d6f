//! How long it takes from what somebody says until the processes of a run hear of it: from the start of the command
//! `almanac runs cancel`, `nodes drain` or `nodes scavenge`, or of a `git push` that removes the job, to SIGTERM in its container.
//!
//! `cargo bench -p almanac-tests --bench steering`, with the real reconciler, agent and command, and Docker.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::{fs, time::Duration};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// How often each is done.
const TIMES: usize = 20;

/// Says when it was told to stop, in seconds since the host was booted (proc_uptime(5): to a hundredth).
const SCRIPT: &str = "trap 'read up rest < /proc/uptime; echo $up; exit' TERM; sleep 600 & wait";

fn main() {
    let mut testbed = Testbed::start(Runtime::Docker);
    testbed.start_agent("london-01");
    each("runs cancel", cancelled(&mut testbed));
    each("nodes scavenge on, of an exclusive run", scavenged(&mut testbed));
    testbed.repository.remove("jobs/scavenged.yaml");
    testbed.push("no exclusive job");
    each("nodes drain, of 20 runs", drained(&mut testbed));
    testbed.json("alice", &["nodes", "uncordon", "london-01"]);
    each("git push, of a commit that removes 20 jobs with `onRemove: abort`", removed(&mut testbed));
}

/// One after the other.
fn cancelled(testbed: &mut Testbed) -> Vec<Duration> {
    let runs = running(testbed, "cancelled");
    let cancel = |run: &String| {
        let before = now();
        testbed.json("alice", &["runs", "cancel", run, "--no-wait"]);
        before
    };
    let told: Vec<Duration> = runs.iter().map(cancel).collect();
    told.into_iter().zip(&runs).map(|(before, run)| stopped(testbed, run, before)).collect()
}

/// Again and again: an exclusive run goes on, and the owner wants the link.
fn scavenged(testbed: &mut Testbed) -> Vec<Duration> {
    let script = format!("echo up; {SCRIPT}");
    let job = Job::recurring("scavenged", "london-01", "*/6 * * * * *", "5s", &script).yaml();
    testbed.repository.write("jobs/scavenged.yaml", job.replace("exclusive: false", "exclusive: true"));
    testbed.push("an exclusive job");
    let mut one = || {
        let run = testbed.wait_for("a command that goes on", |testbed| {
            let run = testbed.runs("scavenged").into_iter().find(|run| run["phase"] == "RUNNING")?;
            let id = run["id"].as_str()?.to_owned();
            let logs = testbed.almanac("alice", &["runs", "logs", &id]);
            String::from_utf8(logs.stdout).ok()?.contains("up").then_some(id)
        });
        let before = now();
        testbed.json("alice", &["nodes", "scavenge", "london-01", "on"]);
        let told = testbed.wait_for("its last word", |testbed| {
            let logs = String::from_utf8(testbed.almanac("alice", &["runs", "logs", &run]).stdout).ok()?;
            logs.lines().nth(1).map(|line| uptime(line).saturating_sub(before))
        });
        testbed.json("alice", &["nodes", "scavenge", "london-01", "off"]);
        told
    };
    (0..TIMES).map(|_| one()).collect()
}

/// All at once.
fn drained(testbed: &mut Testbed) -> Vec<Duration> {
    let runs = running(testbed, "drained");
    let before = now();
    testbed.json("alice", &["nodes", "drain", "london-01", "--reason", "a new disk"]);
    runs.iter().map(|run| stopped(testbed, run, before)).collect()
}

/// All at once.
fn removed(testbed: &mut Testbed) -> Vec<Duration> {
    let runs = running(testbed, "removed");
    for number in 0..TIMES {
        testbed.repository.remove(&format!("jobs/removed-{number}.yaml"));
    }
    let before = now();
    testbed.repository.push("no such jobs");
    runs.iter().map(|run| stopped(testbed, run, before)).collect()
}

/// The ids of runs that go on.
fn running(testbed: &mut Testbed, name: &str) -> Vec<String> {
    let at = soon(10);
    for number in 0..TIMES {
        let name = format!("{name}-{number}");
        let job = Job::once(&name, "london-01", at, "10m", SCRIPT).yaml();
        let job = job.replace("exclusive: false", "exclusive: false\n  onRemove: abort");
        testbed.repository.write(&format!("jobs/{name}.yaml"), job);
    }
    testbed.push("jobs that go on");
    let run = |number| testbed.wait_run(&format!("{name}-{number}"), "RUNNING");
    (0..TIMES).map(run).map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

/// How long after an instant a run was told to stop, by its own word.
fn stopped(testbed: &mut Testbed, run: &str, before: Duration) -> Duration {
    let log = testbed.wait_for("the log of a run that was stopped", |testbed| {
        let logs = testbed.almanac("alice", &["runs", "logs", run]);
        let log = String::from_utf8(logs.stdout).unwrap();
        // While the run goes on, there is nothing yet.
        Some(log).filter(|log| logs.status.success() && !log.is_empty())
    });
    uptime(&log).saturating_sub(before)
}

fn now() -> Duration {
    uptime(&fs::read_to_string("/proc/uptime").unwrap())
}

fn uptime(text: &str) -> Duration {
    Duration::from_secs_f64(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn each(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let (median, longest) = (millis(took[took.len() / 2]), millis(took[took.len() - 1]));
    println!("{what}: SIGTERM after p50 {median:.0} ms, at most {longest:.0} ms, {} runs", took.len());
}
