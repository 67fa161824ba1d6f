//! The node's owner wants its link: where a run is when it has to make room, and what is killed meanwhile.

use chrono::{TimeDelta, Utc};
use serde_json::json;

use almanac_proto::{
    convert,
    v1::{Instructions, Move, Scavenging},
};
use almanac_schemas::{Phase, Reason};

use almanac_node::point::Point;

use crate::harness::{Job, World};

pub(crate) fn wanted() -> Instructions {
    let scavenging = Scavenging {
        actor: "alice".to_owned(),
        reason: "a call".to_owned(),
        since: Some(convert::timestamp(Utc::now())),
        until: None,
    };
    Instructions { scavenging: Some(scavenging), ..Instructions::default() }
}

const ABORTED: Option<(Phase, Reason)> = Some((Phase::Aborted, Reason::Scavenger));

/// Says that it goes on, and does.
const GOES_ON: &str = "echo up >> \"$RAN\"; trap 'echo stopped; exit 3' TERM; while :; do sleep 0.05; done";

fn goes_on(world: &World, name: &str) -> Job {
    Job::soon(name).length("10m").container("env", json!({"RAN": world.path(name)})).sh(GOES_ON)
}

#[test]
fn a_run_that_waits_at_its_gate_is_aborted_and_never_begins() {
    let mut world = World::new();
    let job = goes_on(&world, "run").schedule("jitter", json!("9m"));
    world.declare([job]);
    world.start();
    world.wait_phase("run", Phase::Deploying);
    world.reconciler.instruct(&wanted());
    let run = world.wait_end("run");
    assert_eq!(run.end(), ABORTED);
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Aborted]);
    assert_eq!(world.lines("run").len(), 0);
    world.wait_tidy();
}

#[test]
fn a_run_is_stopped_told_once_and_keeps_what_it_left_wherever_the_agent_is_killed() {
    for point in
        [Point::Settled, Point::Ready, Point::Due, Point::Released, Point::Reported, Point::Acknowledged]
    {
        let mut world = World::new();
        let job = goes_on(&world, "run").start_deadline("1m");
        world.declare([job]);
        world.start_until(point);
        world.reconciler.instruct(&wanted());
        world.start();
        let run = world.wait_end("run");
        assert_eq!(run.end(), ABORTED, "{point:?}");
        assert!(world.lines("run").len() <= 1, "{point:?}");
        assert_eq!(run.last().message, "alice wants the node's link: a call");
        world.wait_tidy();
    }
}

#[test]
fn a_run_that_has_ended_is_completed() {
    let mut world = World::new();
    world.declare([Job::soon("run").length("10m").sh("seq 1 1000 > file; exit 0")]);
    world.start_until(Point::Packed);
    world.reconciler.instruct(&wanted());
    world.start();
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert!(world.file(&run, "artifacts.tar.zst").is_some());
}

#[test]
fn on_and_off_again_and_again_each_instant_has_one_end() {
    let mut world = World::new();
    let job = Job::every_second("tick").length("1s").spec("exclusive", json!(true)).sh("sleep 0.3");
    world.declare([job]);
    world.start();
    for round in 1..=6 {
        let count = round * 2;
        world.wait_ended("tick", count);
        world.reconciler.instruct(&wanted());
        world.wait_ended("tick", count + 1);
        world.reconciler.instruct(&Instructions::default());
    }
    let runs = world.wait_ended("tick", 14);
    for run in runs {
        let ends = run.phases().into_iter().filter(|phase| phase.is_terminal()).count();
        assert_eq!(ends, 1, "{run:#?}");
        let (phase, reason) = run.end().unwrap();
        let good = [
            (Phase::Completed, Reason::ExitCode),
            (Phase::Completed, Reason::LengthReached),
            (Phase::Aborted, Reason::Scavenger),
            (Phase::Skipped, Reason::Scavenger),
        ];
        // A loaded machine may be late for a run of a second.
        assert!(good.contains(&(phase, reason)) || phase == Phase::Missed, "{run:#?}");
    }
}

#[test]
fn a_moved_run_begins_at_its_new_instant_without_the_reconciler() {
    let mut world = World::new();
    let at = Utc::now() - TimeDelta::hours(1);
    let job = Job::once("run", at).length("1m").since(at + TimeDelta::seconds(1)).sh("exit 0");
    world.declare([job]);
    world.start();
    world.wait_followed();
    let to = Utc::now() + TimeDelta::seconds(4);
    let moved =
        Move { job: "run".to_owned(), at: Some(convert::timestamp(at)), to: Some(convert::timestamp(to)) };
    world.reconciler.instruct(&Instructions { moves: vec![moved], ..Instructions::default() });
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert_eq!(run.scheduled_at().timestamp_micros(), to.timestamp_micros());
    world.wait_tidy();
}
