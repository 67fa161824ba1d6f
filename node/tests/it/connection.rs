//! A reconciler that refuses, or answers slowly.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tonic::Code;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

#[test]
fn refusals_are_retried_at_a_decent_pace_until_they_end() {
    for code in [Code::Unavailable, Code::Unauthenticated, Code::Internal] {
        let mut world = World::new();
        let ran = world.path("ran");
        world.declare([Job::every_second("tick").sh(&format!("echo $ALMANAC_RUN >> {}", ran.display()))]);
        world.start();
        world.wait_ended("tick", 1);
        let before: usize = world.reconciler.record().calls.values().sum();
        world.reconciler.faults().refuse = Some(code);
        world.reconciler.cut_streams(None);
        let since = Utc::now();
        world.wait("runs meanwhile", |world| {
            (world.lines("ran").len() >= 4 && Utc::now() > since + TimeDelta::seconds(3)).then_some(())
        });
        let calls = world.reconciler.record().calls.values().sum::<usize>() - before;
        assert!((3..120).contains(&calls), "{calls} calls in three seconds of {code:?}");
        world.reconciler.faults().refuse = None;
        for run in world.wait_ended("tick", 4) {
            assert_eq!(run.end(), DONE);
        }
    }
}

#[test]
fn an_agent_whose_key_is_not_declared_says_what_to_do_and_goes_on() {
    let mut world = World::new();
    world.reconciler.faults().refuse = Some(Code::Unauthenticated);
    world.start();
    world.wait("advice", |world| {
        let log = world.agent.as_ref()?.log();
        (log.contains("`keys`") && log.contains("--name") && log.contains("clock")).then_some(())
    });
    world.reconciler.faults().refuse = None;
    world.declare([Job::soon("first")]);
    assert_eq!(world.wait_end("first").end(), DONE);
}

#[test]
fn slow_answers_hold_up_no_run() {
    let mut world = World::new();
    let ran = world.path("ran");
    world
        .declare([Job::every_second("tick")
            .sh(&format!("echo $ALMANAC_SCHEDULED_AT $(date +%s) >> {}", ran.display()))]);
    world.start();
    world.wait_followed();
    world.reconciler.faults().delay = Duration::from_secs(4);
    world.wait("five runs", |world| (world.lines("ran").len() >= 5).then_some(()));
    for line in world.lines("ran") {
        let (scheduled_at, started) = line.split_once(' ').unwrap();
        let scheduled_at: almanac_schemas::Instant = scheduled_at.parse().unwrap();
        let lag = started.parse::<i64>().unwrap() - scheduled_at.0.timestamp();
        assert!(lag <= 2, "it started {lag} s late");
    }
    world.reconciler.faults().delay = Duration::ZERO;
    world.wait_ended("tick", 5);
}

#[test]
fn a_report_that_is_recorded_in_part_is_continued() {
    let mut world = World::new();
    world.reconciler.faults().accept = Some(1);
    world.declare([Job::every_second("tick")]);
    world.start();
    for run in world.wait_ended("tick", 3) {
        assert_eq!(run.end(), DONE);
    }
}
