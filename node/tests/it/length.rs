//! The end of a run's length.

use chrono::{TimeDelta, Utc};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

/// By how much the clock that files are dated by may be behind: the end of a command is a file's date.
const COARSE: TimeDelta = TimeDelta::milliseconds(20);

#[test]
fn reaching_it_stops_the_command_and_completes_the_run() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    let script = "trap 'echo stopping; exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let (run, _) = world.run("measure", Job::once("measure", at).length("2s").sh(script));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)), "{:?}", run.last());
    assert_eq!(world.stdout(&run), "up\nstopping\n");
    let ended = run.at(Phase::Uploading) - at;
    assert!(ended >= TimeDelta::seconds(2) - COARSE && ended < TimeDelta::seconds(5), "{ended}");
    world.wait_tidy();
}

#[test]
fn it_counts_from_the_scheduled_instant_however_late_the_start() {
    let mut world = World::new();
    let at = Utc::now() - TimeDelta::seconds(2);
    let job = Job::once("late", at).since(at).start_deadline("1m").length("4s").sh("exec sleep 60");
    let (run, _) = world.run("late", job);
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    let ended = run.at(Phase::Uploading) - at;
    assert!(ended >= TimeDelta::seconds(4) - COARSE && ended < TimeDelta::seconds(7), "{ended}");
}

#[test]
fn a_command_that_does_not_listen_is_killed_after_ten_seconds_with_all_its_children() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    let script = "trap '' TERM; sleep 300 & echo up; while :; do sleep 0.1; done";
    let (run, log) = world.run("stubborn", Job::once("stubborn", at).length("1s").sh(script));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    assert_eq!(log, "up\n");
    let ended = run.at(Phase::Uploading) - at;
    assert!(ended >= TimeDelta::seconds(11) - COARSE && ended < TimeDelta::seconds(15), "{ended}");
    world.wait_tidy();
}

#[test]
fn it_is_kept_by_the_next_agent_when_one_is_killed() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    world.declare([Job::once("measure", at).length("3s").sh("echo up; exec sleep 60")]);
    world.start();
    world.wait_phase("measure", Phase::Running);
    world.kill();
    world.start();
    let run = world.wait_end("measure");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    let ended = run.at(Phase::Uploading) - at;
    assert!(ended >= TimeDelta::seconds(3) - COARSE && ended < TimeDelta::seconds(8), "{ended}");
    world.wait_tidy();
}
