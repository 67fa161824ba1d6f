//! A network that is as bad as networks are: runs go on meanwhile, and everything arrives once, in order.

use std::{collections::BTreeSet, time::Duration};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Direction, Job, Weather, World, wait_for};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));
const WHOLE: [Phase; 4] = [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Completed];

/// A world in which a job runs every second, and has once.
fn ticking() -> World {
    let mut world = World::new().through_a_network();
    let ran = world.path("ran");
    let script = format!("echo $ALMANAC_RUN >> {}; echo $ALMANAC_RUN; echo kept > file", ran.display());
    world.declare([Job::every_second("tick").sh(&script)]);
    world.start();
    world.wait_ended("tick", 1);
    world
}

/// Waits for runs that nothing but the agent's own clock can have begun.
fn runs_meanwhile(world: &mut World, count: usize) {
    let before = world.lines("ran").len();
    world.wait("runs meanwhile", |world| (world.lines("ran").len() >= before + count).then_some(()));
}

/// Declares that nothing runs any more, and waits until everything is home: each event and each file once.
fn all_come_home(world: &mut World) {
    world.declare([]);
    world.wait_followed();
    world.wait_tidy();
    let ran = world.lines("ran");
    // What has gone from the agent's disk may still be on its way.
    let runs = world.wait_told("everything", |record| {
        let runs = record.runs("tick");
        (runs.len() >= ran.len() && runs.iter().all(|run| run.end().is_some())).then_some(runs)
    });
    let ids: BTreeSet<&String> = runs.iter().map(|run| &run.key.0).collect();
    assert_eq!(ids, ran.iter().collect(), "each that ran is known");
    assert_eq!(ids.len(), ran.len(), "and ran once");
    for run in &runs {
        assert_eq!(run.end(), DONE, "{run:#?}");
        assert_eq!(run.phases(), WHOLE);
        let arrived: Vec<u64> = world
            .arrivals()
            .iter()
            .filter(|event| event.run_id == run.key.0)
            .map(|event| event.sequence)
            .collect();
        assert_eq!(arrived, [1, 2, 3, 4], "each once and in order");
        assert_eq!(world.log(run), format!("{}\n", run.key.0));
        for name in ["artifacts.tar.zst", "run.json"] {
            assert!(world.file(run, name).is_some(), "{name} of {run:#?}");
        }
    }
    for pair in runs.windows(2) {
        let step = pair[1].scheduled_at() - pair[0].scheduled_at();
        assert_eq!(step.num_seconds(), 1, "no instant is left out");
    }
}

fn endures(weather: Weather) {
    let mut world = ticking();
    world.network.as_ref().unwrap().is(weather);
    runs_meanwhile(&mut world, 4);
    world.network.as_ref().unwrap().is(Weather::Fair);
    all_come_home(&mut world);
}

#[test]
fn one_that_is_slow() {
    endures(Weather::Slow(Duration::from_millis(300)));
}

#[test]
fn one_at_which_nobody_answers() {
    endures(Weather::Refused);
}

#[test]
fn one_that_swallows_everything() {
    endures(Weather::BlackHole);
}

#[test]
fn one_that_carries_no_calls() {
    endures(Weather::OneWay(Direction::Calls));
}

#[test]
fn one_that_carries_no_answers() {
    endures(Weather::OneWay(Direction::Answers));
}

#[test]
fn one_that_goes_over_from_satellite_to_satellite() {
    let mut world = ticking();
    let handovers = Weather::Handovers { period: Duration::from_secs(1), pause: Duration::from_millis(300) };
    world.network.as_ref().unwrap().is(handovers);
    runs_meanwhile(&mut world, 4);
    // It stays as it is.
    all_come_home(&mut world);
}

#[test]
fn one_that_is_cut_again_and_again() {
    let mut world = ticking();
    for _ in 0..8 {
        runs_meanwhile(&mut world, 1);
        world.network.as_ref().unwrap().cut();
    }
    all_come_home(&mut world);
}

#[test]
fn answers_that_are_lost_double_nothing() {
    let mut world = ticking();
    let network = world.network.as_ref().unwrap().handle();
    let calls = ["report", "begin"];
    for _ in 0..3 {
        world.reconciler.faults().lost_answers.extend(calls.map(|call| (call, network.clone())));
        runs_meanwhile(&mut world, 2);
        wait_for("answers to be lost", || world.reconciler.faults().lost_answers.is_empty().then_some(()));
    }
    all_come_home(&mut world);
    let record = world.reconciler.record();
    assert!(record.repeated > 0, "what was not answered was said again");
    assert!(record.files.values().any(|file| file.stored_again > 0));
}

#[test]
fn a_large_file_whose_answers_are_lost_arrives_once() {
    let mut world = World::new().through_a_network();
    let network = world.network.as_ref().unwrap().handle();
    world.reconciler.faults().lost_answers =
        ["begin", "upload", "upload", "commit"].map(|call| (call, network.clone())).to_vec();
    world.declare([Job::soon("large").length("1m").sh("head -c 3145728 /dev/urandom > data")]);
    world.start();
    let run = world.wait_end("large");
    assert_eq!(run.end(), DONE);
    assert!(world.reconciler.faults().lost_answers.is_empty());
    assert!(world.file(&run, "artifacts.tar.zst").unwrap().len() > 3 << 20);
    world.wait_tidy();
}
