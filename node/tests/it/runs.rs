//! A run, from its instant to its end.

use chrono::{TimeDelta, Utc};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

#[test]
fn a_job_that_runs_once_goes_through_its_phases_in_order() {
    let mut world = World::new();
    world.start();
    world.declare([]);
    world.wait_followed();
    let at = Utc::now() + TimeDelta::milliseconds(700);
    let (run, log) = world.run("ping", Job::once("ping", at).sh("echo pong; sleep 0.2"));
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Completed]);
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert_eq!(run.last().exit_code, Some(0));
    assert_eq!(run.last().message, "");
    assert_eq!(log, "pong\n");

    // To the microsecond, which is all that a manifest can say.
    assert_eq!(run.scheduled_at().timestamp_micros(), at.timestamp_micros());
    assert!(run.at(Phase::Deploying) < at, "it is made ready before");
    let lag = run.at(Phase::Running) - at;
    assert!(lag >= TimeDelta::zero() && lag < TimeDelta::seconds(2), "it began {lag} after its instant");
    let took = run.at(Phase::Uploading) - run.at(Phase::Running);
    assert!(took >= TimeDelta::milliseconds(150) && took < TimeDelta::seconds(3), "it took {took}");
    assert!(run.at(Phase::Completed) >= run.at(Phase::Uploading));
    assert_eq!(run.last().commit, format!("{:040x}", world.desired.generation));
    world.wait_tidy();
}

#[test]
fn a_recurring_job_runs_at_every_instant_once() {
    let mut world = World::new();
    let ran = world.path("ran");
    world
        .declare([Job::every_second("tick").sh(&format!("echo $ALMANAC_SCHEDULED_AT >> {}", ran.display()))]);
    world.start();
    let runs = world.wait_ended("tick", 5);
    for pair in runs.windows(2) {
        assert_eq!(pair[1].scheduled_at() - pair[0].scheduled_at(), TimeDelta::seconds(1));
    }
    let instants = world.lines("ran");
    let mut unique = instants.clone();
    unique.dedup();
    assert_eq!(instants, unique);
    assert!(runs.iter().all(|run| run.end() == Some((Phase::Completed, Reason::ExitCode))));
    world.declare([]);
    world.wait_followed();
    world.wait_tidy();
}

#[test]
fn an_exit_code_other_than_0_is_a_failure_and_says_which() {
    let mut world = World::new();
    let (run, log) = world.run("broken", Job::soon("broken").sh("echo going down >&2; exit 42"));
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Failed]);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)));
    assert_eq!(run.last().exit_code, Some(42));
    assert!(run.last().message.contains("42"), "{}", run.last().message);
    assert_eq!(log, "going down\n");
}

#[test]
fn a_command_that_does_not_exist_is_a_failure_with_a_message() {
    let mut world = World::new();
    let job = Job::soon("absent").container("command", serde_json::json!(["/no/such/program"]));
    let (run, log) = world.run("absent", job);
    let (phase, reason) = run.end().unwrap();
    assert_eq!(phase, Phase::Failed);
    // A shell says so with its exit code 127 and a line in the log, an engine with its own words.
    match reason {
        Reason::ExitCode => assert!(log.contains("/no/such/program"), "{log}"),
        Reason::Runtime => assert!(run.last().message.contains("/no/such/program"), "{:?}", run.last()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_job_without_a_command_needs_an_engine() {
    let mut world = World::new();
    let job = Job::soon("bare").container("command", serde_json::json!([]));
    let (run, _) = world.run("bare", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::Runtime)));
    assert!(run.last().message.contains("command"), "{}", run.last().message);
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Failed]);
    world.wait_tidy();
}

#[test]
fn several_jobs_run_at_the_same_instant() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    let names = ["a", "b", "c", "d"];
    world.declare(names.map(|name| {
        Job::once(name, at).spec("exclusive", serde_json::json!(false)).sh("sleep 1; echo done")
    }));
    world.start();
    let runs = names.map(|name| world.wait_end(name));
    let last_start = runs.iter().map(|run| run.at(Phase::Running)).max().unwrap();
    let first_end = runs.iter().map(|run| run.at(Phase::Uploading)).min().unwrap();
    assert!(last_start < first_end, "none waits for another");
    assert!(runs.iter().all(|run| run.end() == Some((Phase::Completed, Reason::ExitCode))));
}
