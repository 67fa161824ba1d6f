//! What people say to a node: that a run is to end, that no new one starts, that it is to be empty.

use std::{fs, os::unix::net::UnixStream};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use almanac_proto::{
    convert, log,
    v1::{Cancellation, Cordon, Instructions},
};
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Record, Run, World, command, output};

/// Says when it is told to stop, and takes its time.
const STUBBORN: &str = "trap 'echo stopped; exit 3' TERM; echo up; while :; do sleep 0.05; done";

fn cancel(run: &Run) -> Instructions {
    let (actor, reason) = ("alice".to_owned(), "wrong host".to_owned());
    Instructions {
        cancellations: vec![Cancellation { run_id: run.key.0.clone(), actor, reason }],
        ..Instructions::default()
    }
}

fn cordon(stop_at: Option<DateTime<Utc>>) -> Instructions {
    let cordon = Cordon {
        actor: "alice".to_owned(),
        reason: "new kernel".to_owned(),
        since: Some(convert::timestamp(Utc::now())),
        until: None,
        stop_at: stop_at.map(convert::timestamp),
    };
    Instructions { cordon: Some(cordon), ..Instructions::default() }
}

fn here(world: &World, subcommand: &str, options: &[&str]) -> String {
    let mut told = command();
    told.arg(subcommand).args(options).arg("--state-dir").arg(world.state_dir());
    let done = output(told);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// An agent listens before it does anything else that takes time; one before it may have left its socket behind.
fn wait_listening(world: &mut World) {
    let socket = world.state_dir().join("agent.sock");
    world.wait("its answer", |_| UnixStream::connect(&socket).ok());
}

/// The log of a run that goes on.
fn log(world: &World) -> String {
    let runs = fs::read_dir(world.state_dir().join("runs")).into_iter().flatten().filter_map(Result::ok);
    let read = |path| String::from_utf8(log::plain(&fs::read(path).unwrap_or_default())).unwrap();
    runs.map(|run| read(run.path().join("outbox").join("run.log"))).collect()
}

/// A long run that holds up nobody else's files.
fn shared(name: &str) -> Job {
    Job::soon(name).length("10m").spec("exclusive", json!(false))
}

/// How many of the runs of `tick` were completed.
fn completed(record: &Record) -> usize {
    let is_completed = |run: &&Run| run.end() == Some((Phase::Completed, Reason::ExitCode));
    record.runs("tick").iter().filter(is_completed).count()
}

fn wait_up(world: &mut World) {
    world.wait("its command", |world| log(world).contains("up").then_some(()));
}

fn wait_skipped(world: &mut World, job: &str) -> Run {
    world.wait_told("a skipped run", |record| {
        record.runs(job).into_iter().find(|run| run.end() == Some((Phase::Skipped, Reason::Cordoned)))
    })
}

#[test]
fn a_cancelled_run_is_stopped_and_what_it_left_is_kept() {
    let mut world = World::new();
    world.declare([shared("long").sh(STUBBORN), shared("other").sh("sleep 600")]);
    world.start();
    let run = world.wait_phase("long", Phase::Running);
    world.wait_phase("other", Phase::Running);
    wait_up(&mut world);
    world.reconciler.instruct(&cancel(&run));
    let ended = world.wait_end("long");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert_eq!(ended.last().message, "alice cancelled it: wrong host");
    assert!(world.stdout(&ended).ends_with("stopped\n"));
    assert!(!world.processes().is_empty(), "the other goes on");
}

#[test]
fn a_run_that_was_cancelled_while_the_agent_was_away_is_stopped_when_it_is_back() {
    let mut world = World::new();
    world.declare([shared("long").sh(STUBBORN)]);
    world.start();
    let run = world.wait_phase("long", Phase::Running);
    wait_up(&mut world);
    world.kill();
    world.reconciler.instruct(&cancel(&run));
    world.start();
    assert_eq!(world.wait_end("long").end(), Some((Phase::Aborted, Reason::Cancelled)));
    world.wait_tidy();
}

#[test]
fn a_run_that_is_being_stopped_is_stopped_by_the_next_agent_and_says_why() {
    let mut world = World::new();
    let script = "trap 'echo stopping' TERM; echo up; while :; do sleep 0.05; done";
    world.declare([Job::soon("deaf").length("10m").sh(script)]);
    world.start();
    let run = world.wait_phase("deaf", Phase::Running);
    wait_up(&mut world);
    world.reconciler.instruct(&cancel(&run));
    world.wait("the stop", |world| log(world).contains("stopping").then_some(()));
    world.kill();
    // The reconciler does not say it again.
    world.reconciler.instruct(&Instructions::default());
    world.start();
    let ended = world.wait_end("deaf");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert_eq!(ended.last().message, "alice cancelled it: wrong host");
}

#[test]
fn a_removed_job_ends_its_run_where_it_says_so() {
    let mut world = World::new();
    let job = |name| shared(name).sh(STUBBORN);
    world.declare([job("aborts").spec("onRemove", json!("abort")), job("finishes")]);
    world.start();
    world.wait_phase("aborts", Phase::Running);
    world.wait_phase("finishes", Phase::Running);
    world.declare([]);
    let ended = world.wait_end("aborts");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert_eq!(ended.last().message, "its job was removed from the repository");
    assert!(!world.processes().is_empty(), "the other goes on");
}

#[test]
fn a_cordoned_node_starts_nothing_and_what_runs_goes_on() {
    let mut world = World::new();
    world.declare([shared("long").sh(STUBBORN), Job::every_second("tick")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    world.wait_ended("tick", 1);
    world.reconciler.instruct(&cordon(None));
    let skipped = wait_skipped(&mut world, "tick");
    assert_eq!(skipped.last().message, "alice cordoned the node: new kernel");
    let before = world.reconciler.record().runs("tick").len();
    // It holds offline, and after a restart.
    world.kill();
    world.reconciler.vanish();
    world.start();
    wait_listening(&mut world);
    assert!(here(&world, "status", &[]).contains("no new run starts: alice cordoned the node"));
    world.reconciler.come_back();
    let skipped = |record: &Record| {
        let runs = record.runs("tick");
        let last =
            runs.iter().skip(before).filter(|run| run.end() == Some((Phase::Skipped, Reason::Cordoned)));
        (last.count() > 1).then_some(())
    };
    world.wait_told("more of them", skipped);
    world.reconciler.instruct(&Instructions::default());
    let so_far = completed(&world.reconciler.record());
    world.wait_told("a run", |record| (completed(record) > so_far).then_some(()));
    assert!(!world.processes().is_empty(), "what ran goes on");
}

#[test]
fn a_drained_node_stops_what_runs_at_the_deadline() {
    let mut world = World::new();
    world.declare([shared("long").sh(STUBBORN), Job::every_second("tick")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    wait_up(&mut world);
    let stop_at = Utc::now() + TimeDelta::seconds(2);
    world.reconciler.instruct(&cordon(Some(stop_at)));
    let ended = world.wait_end("long");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cordoned)));
    assert_eq!(ended.last().message, "alice drained the node: new kernel");
    let stopped = convert::instant("at", ended.last().at.as_ref()).unwrap();
    assert!(stopped >= stop_at, "{stopped} before {stop_at}");
    wait_skipped(&mut world, "tick");
    world.wait_tidy();
}

#[test]
fn the_owner_of_the_host_cordons_and_drains_it_without_the_reconciler() {
    let mut world = World::new();
    world.declare([shared("long").sh(STUBBORN), Job::every_second("tick")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    wait_up(&mut world);
    world.wait_ended("tick", 1);
    world.reconciler.vanish();
    assert!(
        here(&world, "cordon", &["--reason", "visitors"])
            .starts_with("no new run starts here; what runs goes on\n")
    );
    assert!(
        here(&world, "status", &[])
            .contains("no new run starts: the host's owner cordoned the node: visitors")
    );
    world.kill();
    world.start();
    wait_listening(&mut world);
    assert!(here(&world, "drain", &["--deadline", "0s"]).contains("what runs is being stopped"));
    world.wait("the end", |world| world.processes().is_empty().then_some(()));
    world.reconciler.come_back();
    let ended = world.wait_end("long");
    assert_eq!(ended.last().message, "the host's owner drained the node");
    wait_skipped(&mut world, "tick");
    let so_far = completed(&world.reconciler.record());
    assert!(here(&world, "uncordon", &[]).starts_with("new runs start here"));
    world.wait_told("a run", |record| (completed(record) > so_far).then_some(()));
}

#[test]
fn a_cordon_for_no_time_is_refused() {
    let world = World::new();
    let mut told = command();
    told.args(["cordon", "--for", "0s", "--state-dir"]).arg(world.state_dir());
    let done = output(told);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("over at once"), "{done:?}");
}

#[test]
fn an_agent_that_drains_when_it_stops_leaves_nothing_running() {
    let mut world = World::new().option("--on-stop", "drain").option("--stop-deadline", "1s");
    world.declare([shared("long").sh(STUBBORN), shared("short").sh("sleep 0.5")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    world.wait_phase("short", Phase::Running);
    wait_up(&mut world);
    assert!(world.terminate().success());
    assert!(world.processes().is_empty());
    world.start();
    let ended = world.wait_end("long");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cordoned)));
    assert_eq!(ended.last().message, "the agent was stopped, and was to stop what runs");
    assert_eq!(world.wait_end("short").end(), Some((Phase::Completed, Reason::ExitCode)));
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_container_that_is_held_or_runs_is_stopped() {
    let mut world = World::with_docker();
    world.declare([shared("long").sh(STUBBORN), Job::once("soon", Utc::now() + TimeDelta::seconds(30))]);
    world.start();
    let run = world.wait_phase("long", Phase::Running);
    wait_up(&mut world);
    world.reconciler.instruct(&cancel(&run));
    let ended = world.wait_end("long");
    assert_eq!(ended.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert_eq!(world.stdout(&ended), "up\nstopped\n");
    // One that is made ready for later is withdrawn when no new run starts.
    world.wait("its container", |world| (!world.containers().is_empty()).then_some(()));
    world.reconciler.instruct(&cordon(None));
    world.wait("its removal", |world| world.containers().is_empty().then_some(()));
}
