//! How long it takes from what a run writes until whoever watches it sees it: from the process's or the container's
//! write to the standard output of `almanac runs logs -f`, on one machine.
//!
//! `cargo bench -p almanac-tests --bench tail`, with the real reconciler, agent and command, and Docker.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
    time::Duration,
};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};
use chrono::{DateTime, Utc};

/// How many lines are written, one each 50 ms.
const LINES: usize = 300;

/// How many watch at once, where several do.
const WATCHERS: usize = 10;

fn main() {
    for (runtime, name) in [(Runtime::Process, "a process"), (Runtime::Docker, "a container")] {
        let mut testbed = Testbed::start(runtime);
        testbed.start_agent("london-01");
        for watchers in [1, WATCHERS] {
            let took = watched(&mut testbed, watchers);
            each(&format!("{name}, {watchers} watching"), took);
        }
    }
}

/// How long each line of a run took to each watcher.
fn watched(testbed: &mut Testbed, watchers: usize) -> Vec<Duration> {
    let name = format!("watched-{watchers}");
    let script = format!("i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo line $i; sleep 0.05; done");
    let job = Job::once(&name, "london-01", soon(4), "5m", &script);
    testbed.repository.write(&format!("jobs/{name}.yaml"), job.yaml());
    testbed.push("a job that is watched");
    let run = testbed.wait_run(&name, "RUNNING")["id"].as_str().unwrap().to_owned();
    let commands = (0..watchers).map(|_| {
        let mut command = testbed.almanac_command("bob", &testbed.server());
        // The stamp says when the line was read from the process: within a millisecond of its write.
        command.args(["runs", "logs", &run, "-f", "--timestamps", "--tail", "0"]).stdout(Stdio::piped());
        command.spawn().unwrap()
    });
    let readers: Vec<_> = commands.map(|command| thread::spawn(move || read(command))).collect();
    readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
}

fn read(mut command: std::process::Child) -> Vec<Duration> {
    let lines = BufReader::new(command.stdout.take().unwrap()).lines();
    let took = lines.map(|line| {
        let (line, now) = (line.unwrap(), Utc::now());
        let written = DateTime::parse_from_rfc3339(line.split(' ').next().unwrap()).unwrap();
        (now - written.to_utc()).to_std().unwrap_or_default()
    });
    let took = took.collect();
    assert!(command.wait().unwrap().success());
    took
}

fn each(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let millis = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: seen after p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms, {} lines",
        millis(50),
        millis(99),
        millis(100),
        took.len()
    );
}
