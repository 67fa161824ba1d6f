//! How long after its instant a command begins, in containers of a real engine.
//!
//! `cargo bench -p almanac-node --bench start`

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

use std::time::Duration;

use almanac_schemas::Phase;
use harness::{Job, World, pause};

/// How many runs are measured.
const RUNS: usize = 200;

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
    let job = Job::every_second("tick").length("5s").start_deadline("5s");
    world.declare([job.container("network", network.into())]);
    world.start();
    let runs = loop {
        pause(Duration::from_secs(1));
        let runs = world.reconciler.record().runs("tick");
        let begun: Vec<_> = runs.into_iter().filter(|run| run.phases().contains(&Phase::Running)).collect();
        // The first ones found no image, network or container ready.
        if begun.len() > RUNS + 3 {
            break begun;
        }
    };
    let mut late: Vec<f64> = runs[3..RUNS + 3]
        .iter()
        .map(|run| (run.at(Phase::Running) - run.scheduled_at()).as_seconds_f64() * 1e3)
        .collect();
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
