//! How long it takes to bring home what an outage left: the real reconciler on SQLite, the real agent, and a journal that
//! was filled as if the agent had been alone for a day.
//!
//! `cargo build --release -p almanac-reconciler && cargo bench -p almanac-node --bench backlog`

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the tests can do more")]
mod harness;

#[path = "bed/mod.rs"]
mod bed;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{SubsecRound, TimeDelta, Utc};
use tokio::runtime::Runtime;

use almanac_node::{
    journal::{Journal, UploadFile},
    run::{Order, State, Step, Transition},
};
use almanac_schemas::{Phase, Reason};
use bed::Bed;
use harness::{Agent, Network, Weather, pause, wait_for};

/// The outage.
const OUTAGE: TimeDelta = TimeDelta::hours(24);

/// The goal for 5,000 runs.
const GOAL: Duration = Duration::from_secs(10);

fn main() {
    // `cargo test --benches` runs this too, without this flag; it is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let took = measure(&runtime, 5_000, false, None);
    measure(&runtime, 200, true, Some(Duration::from_millis(25)));
    assert!(took < GOAL, "5,000 runs take {took:?}, more than {GOAL:?}");
}

/// Delivers so many runs, through a network that is so slow in each direction.
fn measure(runtime: &Runtime, runs: usize, with_files: bool, slow: Option<Duration>) -> Duration {
    let bed = Bed::new();
    let events = runtime.block_on(fill(&bed, runs, with_files));
    let network = Network::to(bed.address);
    if let Some(delay) = slow {
        network.is(Weather::Slow(delay));
    }
    let files = if with_files { 3 * runs } else { 0 };
    let begun = Instant::now();
    let agent = Agent::spawn(bed.agent(&network.url()), &bed.folder.path().join("agent.log"));
    let found = wait_for("everything to be home", || {
        pause(Duration::from_millis(20));
        let found = runtime.block_on(bed.found());
        (found.ended == runs && found.events >= events && found.files >= files).then_some(found)
    });
    let took = begun.elapsed();
    // Whatever would be said twice is said by now.
    pause(Duration::from_secs(2));
    let after = runtime.block_on(bed.found());
    assert_eq!(found, after, "nothing is added to what is home");
    assert_eq!((after.runs, after.ended), (runs, runs), "{}", agent.log());
    assert_eq!((after.events, after.files), (events, files));
    assert_eq!(stored(&bed.folder.path().join("store")), files);
    drop(agent);
    let round_trip = slow.map_or(String::new(), |delay| format!(", round trip {:?}", 2 * delay));
    println!("{runs} runs, {events} events, {files} files{round_trip}: {:.2} s", took.as_secs_f64());
    took
}

/// How many files are below a folder.
fn stored(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { stored(&path) } else { 1 }).sum()
}

/// Writes the journal of an agent that ran so much and reached nobody. Returns how many events there are to be.
async fn fill(bed: &Bed, runs: usize, with_files: bool) -> usize {
    fs::create_dir_all(bed.state_dir()).unwrap();
    let journal = Journal::open(&bed.state_dir().join("journal.sqlite")).await.unwrap();
    let step = OUTAGE / i32::try_from(runs).unwrap();
    let first = (Utc::now() - OUTAGE).trunc_subsecs(0);
    for index in 0..runs {
        let (order, running) = bed::run(&journal, first + step * i32::try_from(index).unwrap()).await;
        let at = order.scheduled_at.0;
        if with_files {
            bed::end(&journal, &order, running, &files(bed, &order, index)).await;
        } else {
            let step = Step {
                phase: Phase::Completed,
                reason: Some(Reason::ExitCode),
                message: String::new(),
                at,
                exit_code: Some(0),
            };
            let ended = Transition { state: State::Finished, step: Some(step) };
            journal.advance(&order, &ended, at).await.unwrap();
        }
    }
    journal.close().await;
    // The last event of a run with files follows when they are home.
    if with_files { 4 * runs } else { 3 * runs }
}

/// What a run leaves: facts and a log of the usual size, and artifacts, of each tenth run large ones.
fn files(bed: &Bed, order: &Order, index: usize) -> Vec<UploadFile> {
    let artifacts = if index.is_multiple_of(10) { 512 << 10 } else { 20 << 10 };
    [("artifacts.tar.zst", artifacts), ("run.json", 500), ("run.log", 4 << 10)]
        .map(|(name, size)| bed::leave(bed, order, name, &bed::noise(index, size)))
        .into()
}
