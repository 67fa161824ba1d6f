//! SIGTERM: the agent ends soon, and what runs goes on without it.

use std::time::{Duration, Instant};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

#[test]
fn it_ends_within_seconds_and_the_run_is_finished_by_the_next_agent() {
    let mut world = World::new();
    let gate = world.path("gate");
    let script =
        format!("echo one; while [ ! -e {} ]; do sleep 0.05; done; echo two; exit 5", gate.display());
    world.declare([Job::soon("long").length("1m").sh(&script)]);
    world.start();
    world.wait_phase("long", Phase::Running);
    let asked = Instant::now();
    let status = world.terminate();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(!world.processes().is_empty(), "the run goes on");
    std::fs::write(&gate, "").unwrap();
    world.start();
    let run = world.wait_end("long");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)));
    assert_eq!(run.last().exit_code, Some(5));
    assert_eq!(world.log(&run), "one\ntwo\n");
    world.wait_tidy();
}

#[test]
fn it_does_not_wait_for_a_reconciler_that_does_not_answer() {
    let mut world = World::new();
    world.declare([Job::soon("run")]);
    world.start();
    world.wait_phase("run", Phase::Deploying);
    world.reconciler.faults().delay = Duration::from_secs(60);
    let asked = Instant::now();
    assert!(world.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    world.reconciler.faults().delay = Duration::ZERO;
    world.start();
    world.wait_end("run");
}

#[test]
fn it_ends_within_seconds_while_a_command_is_being_stopped() {
    let mut world = World::new();
    let script = "trap 'echo stopping' TERM; echo up; while :; do sleep 0.1; done";
    world.declare([Job::soon("stubborn").length("1s").sh(script)]);
    world.start();
    world.wait("the stop", |world| {
        let runs = std::fs::read_dir(world.state_dir().join("runs")).ok()?;
        let log = runs.filter_map(Result::ok).next()?.path().join("outbox").join("run.log");
        std::fs::read_to_string(log).ok()?.contains("stopping").then_some(())
    });
    let asked = Instant::now();
    assert!(world.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    world.start();
    let run = world.wait_end("stubborn");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    world.wait_tidy();
}
