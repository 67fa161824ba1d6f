//! The agent without its reconciler.

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

#[test]
fn it_runs_its_schedule_from_the_disk_and_delivers_everything_later() {
    let mut world = World::new();
    let ran = world.path("ran");
    let script = format!("echo $ALMANAC_RUN >> {}; echo out; echo kept > file", ran.display());
    world.declare([Job::every_second("tick").sh(&script)]);
    world.start();
    world.wait_ended("tick", 1);
    world.reconciler.vanish();
    let told = world.arrivals().len();
    world.kill();
    world.start();
    let before = world.lines("ran").len();
    world.wait("runs without a reconciler", |world| (world.lines("ran").len() >= before + 4).then_some(()));

    world.reconciler.come_back();
    let ran = world.lines("ran");
    let runs = world.wait_told("everything", |record| {
        let runs = record.runs("tick");
        let ended = |id: &String| runs.iter().any(|run| run.key.0 == *id && run.end().is_some());
        ran.iter().all(ended).then_some(runs)
    });
    for id in &ran {
        assert_eq!(ran.iter().filter(|other| *other == id).count(), 1, "{id} ran more than once");
        let run = runs.iter().find(|run| run.key.0 == *id).unwrap();
        assert_eq!(run.end(), DONE);
        assert_eq!(world.log(run), "out\n");
        assert!(world.file(run, "artifacts.tar.zst").is_some());
    }
    // In the order in which it happened.
    let begun: Vec<_> = world.arrivals()[told..]
        .iter()
        .filter(|event| event.sequence == 1)
        .map(|event| event.scheduled_at.map(|at| (at.seconds, at.nanos)))
        .collect();
    assert!(begun.is_sorted(), "{begun:?}");
}

#[test]
fn it_starts_without_one_and_follows_it_when_it_comes() {
    let mut world = World::new();
    world.reconciler.vanish();
    world.start();
    world.wait("the complaint", |world| {
        let log = world.agent.as_ref()?.log();
        log.contains("not connected to the reconciler").then_some(())
    });
    world.reconciler.come_back();
    world.declare([Job::soon("first")]);
    assert_eq!(world.wait_end("first").end(), DONE);
}

#[test]
fn a_run_that_began_before_and_ended_without_it_is_delivered_whole() {
    let mut world = World::new();
    let gate = world.path("gate");
    let done = world.path("done");
    let script = format!(
        "echo one; while [ ! -e {} ]; do sleep 0.05; done; echo two; echo >> {}",
        gate.display(),
        done.display()
    );
    world.declare([Job::soon("long").sh(&script)]);
    world.start();
    world.wait_phase("long", Phase::Running);
    world.reconciler.vanish();
    std::fs::write(&gate, "").unwrap();
    world.wait("the end", |world| (world.lines("done").len() == 1).then_some(()));
    world.reconciler.come_back();
    let run = world.wait_end("long");
    assert_eq!(run.end(), DONE);
    assert_eq!(world.log(&run), "one\ntwo\n");
    world.wait_tidy();
}
