//! How long after its instant a command begins, in containers of a real engine.
//!
//! `cargo bench -p almanac-node --bench start`

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

use std::time::Duration;

use serde_json::json;

use almanac_schemas::Phase;
use harness::{Job, World, pause};

/// How many runs are measured, and how many before them are not.
const RUNS: usize = 200;
const FIRST: usize = 5;

fn main() {
    // `cargo test --benches` runs this too, with this flag; it is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for network in ["none", "bridge"] {
        measure(network);
    }
}

fn measure(network: &str) {
    let mut world = World::with_docker();
    // One run a second, and some seconds to make each of them ready.
    let job = |offset: i64| {
        let job = Job::every_second(&format!("tick-{offset}")).length("5s").start_deadline("5s");
        let schedule = json!(format!("{offset}-59/5 * * * * *"));
        job.schedule("cron", schedule).container("network", json!(network))
    };
    world.declare([0, 1, 2, 3, 4].map(job));
    world.start();
    let mut late: Vec<f64> = loop {
        pause(Duration::from_secs(1));
        let record = world.reconciler.record();
        let runs = (0..5).flat_map(|offset| record.runs(&format!("tick-{offset}")));
        let mut begun: Vec<_> = runs.filter(|run| run.phases().contains(&Phase::Running)).collect();
        // What is declared as it is due finds nothing ready.
        if begun.len() >= RUNS + FIRST {
            begun.sort_by_key(harness::Run::scheduled_at);
            let late = begun[FIRST..].iter().map(|run| run.at(Phase::Running) - run.scheduled_at());
            break late.take(RUNS).map(|late| late.as_seconds_f64() * 1e3).collect();
        }
    };
    late.sort_by(f64::total_cmp);
    let at = |share: usize| late[(RUNS * share / 100).min(RUNS - 1)];
    println!(
        "network {network}: a command begins p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, at most {:.2} ms after its instant, {RUNS} runs",
        at(50),
        at(90),
        at(99),
        late[RUNS - 1]
    );
}
