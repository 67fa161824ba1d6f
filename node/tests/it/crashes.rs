//! An agent that is killed with SIGKILL, at every point of a run.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use chrono::{TimeDelta, Utc};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, World, pause};

/// What a killed agent must not lose: a log in two parts, a file, an exit code of its own.
const SCRIPT: &str = "echo one; echo started >> \"$RAN\"; sleep 0.5; seq 1 1000 > file; echo two; exit 3";

fn job(world: &World, job: Job) -> Job {
    job.container("env", serde_json::json!({"RAN": world.path("ran")})).sh(SCRIPT)
}

fn assert_whole(world: &World, run: &Run) {
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)), "{run:#?}");
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Failed]);
    assert_eq!(run.last().exit_code, Some(3));
    assert_eq!(world.log(run), "one\ntwo\n");
    let files = crate::harness::unpack(&world.file(run, "artifacts.tar.zst").unwrap());
    assert_eq!(files[0].0, "file");
}

#[test]
fn killed_when_a_run_begins() {
    let mut world = World::new();
    let once = job(&world, Job::soon("run"));
    world.declare([once]);
    world.start();
    world.wait_phase("run", Phase::Deploying);
    world.kill();
    world.start();
    let run = world.wait_end("run");
    assert_whole(&world, &run);
    assert_eq!(world.lines("ran").len(), 1);
    world.wait_tidy();
}

#[test]
fn killed_while_it_runs() {
    let mut world = World::new();
    let once = job(&world, Job::soon("run"));
    world.declare([once]);
    world.start();
    world.wait("its first line", |world| (world.lines("ran").len() == 1).then_some(()));
    world.kill();
    world.start();
    let run = world.wait_end("run");
    assert_whole(&world, &run);
    assert_eq!(world.lines("ran").len(), 1);
    world.wait_tidy();
}

#[test]
fn killed_while_it_runs_and_started_after_it_has_ended() {
    let mut world = World::new();
    let once = job(&world, Job::soon("run"));
    world.declare([once]);
    world.start();
    world.wait("its first line", |world| (world.lines("ran").len() == 1).then_some(()));
    world.kill();
    world.wait("its end", |world| world.processes().is_empty().then_some(()));
    let ended = Utc::now();
    world.start();
    let run = world.wait_end("run");
    assert_whole(&world, &run);
    assert!(run.at(Phase::Uploading) <= ended, "the instant of its end is that of its end");
    world.wait_tidy();
}

#[test]
fn killed_while_it_delivers() {
    let mut world = World::new();
    world.reconciler.faults().part_delay = Duration::from_millis(100);
    // What is small comes with its announcement.
    let large = SCRIPT.replace("seq 1 1000", "head -c 200000 /dev/urandom");
    let once = job(&world, Job::soon("run")).sh(&large);
    world.declare([once]);
    world.start();
    for part in 1..=2 {
        world.wait_told("an upload", |record| (*record.calls.get("upload")? >= part).then_some(()));
        world.kill();
        world.start();
    }
    let run = world.wait_end("run");
    assert_whole(&world, &run);
    assert_eq!(world.lines("ran").len(), 1);
    world.wait_tidy();
}

#[test]
fn killed_between_a_report_and_its_answer() {
    let mut world = World::new();
    let once = job(&world, Job::soon("run"));
    world.declare([once]);
    world.start();
    world.wait_phase("run", Phase::Running);
    world.reconciler.faults().delay = Duration::from_secs(2);
    let reports = world.reconciler.record().calls["report"];
    world.wait_told("a report", |record| (record.calls["report"] > reports).then_some(()));
    world.kill();
    world.reconciler.faults().delay = Duration::ZERO;
    world.start();
    let run = world.wait_end("run");
    assert_whole(&world, &run);
}

/// `ALMANAC_NIGHTLY=50` kills it fifty times as often; `ALMANAC_SEED` repeats the instants.
#[test]
fn killed_again_and_again_at_any_instant() {
    const KILLS: u64 = 10;
    let number =
        |name: &str| std::env::var_os(name).map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
    let kills = KILLS * number("ALMANAC_NIGHTLY").unwrap_or(1);
    let seed = number("ALMANAC_SEED").unwrap_or_else(|| Utc::now().timestamp_micros().cast_unsigned());
    println!("{kills} kills, ALMANAC_SEED={seed}");
    let mut world = World::new();
    let tick = job(&world, Job::every_second("tick").length("1m").start_deadline("1m"))
        .container("env", serde_json::json!({"RAN": world.path("ran")}))
        .sh(&SCRIPT.replace("echo started", "echo $ALMANAC_RUN"));
    world.declare([tick]);
    let first = Utc::now();
    world.start();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    for kill in 0..kills {
        pause(Duration::from_millis(hasher.hash_one((seed, kill)) % 1200));
        world.kill();
        world.start();
    }
    world.declare([]);
    world.wait_followed();
    let last = Utc::now();
    let runs = world.wait_told("the end of all runs", |record| {
        let runs = record.runs("tick");
        runs.iter().all(|run| run.end().is_some()).then_some(runs)
    });
    let mut ran: HashMap<String, usize> = HashMap::new();
    for line in world.lines("ran") {
        *ran.entry(line).or_default() += 1;
    }
    for (index, run) in runs.iter().enumerate() {
        assert_whole(&world, run);
        assert_eq!(ran.get(&run.key.0), Some(&1), "the command of {run:#?}");
        if index > 0 {
            let step = run.scheduled_at() - runs[index - 1].scheduled_at();
            assert_eq!(step, TimeDelta::seconds(1), "no instant is left out");
        }
    }
    assert_eq!(ran.len(), runs.len());
    assert!(runs[0].scheduled_at() - first <= TimeDelta::seconds(1));
    assert!(last - runs.last().unwrap().scheduled_at() <= TimeDelta::seconds(2));
    println!(
        "{kills} kills: {} instants in {} s, each recorded once and run once",
        runs.len(),
        (last - first).num_seconds()
    );
    world.wait_tidy();
}
