//! Runs that begin when what the node measures says so, and not before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_node::point::Point;
use almanac_proto::v1::{Cancellation, Instructions};
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, Terminal, World, pause};

const SLOW: &str = "dish.pop_ping_latency_ms > 60.0";

/// A world whose node has a terminal, and an agent that measures it.
fn world(mut world: World, latency: f32) -> (World, Terminal) {
    let terminal = Terminal::start(latency);
    world.desired.node["telemetry"] = json!({"dish": {"address": terminal.address()}});
    world.declare([]);
    world.start();
    world.wait("the terminal to be measured", |_| (terminal.says().asked >= 2).then_some(()));
    (world, terminal)
}

fn job(world: &World, at: DateTime<Utc>, when: &str, wait: &str) -> Job {
    let ran = world.path("ran");
    let script = format!("echo ran >> {}; sleep 2.5", ran.display());
    Job::once("run", at).spec("trigger", json!({"when": when, "wait": wait})).length("60s").sh(&script)
}

fn soon() -> DateTime<Utc> {
    Utc::now() + TimeDelta::milliseconds(500)
}

fn assert_began(world: &World, run: &Run) -> Value {
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{run:#?}");
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Completed]);
    assert_eq!(world.lines("ran"), ["ran"], "it ran once");
    let running = &run.events[1].message;
    assert!(running.starts_with("its trigger `") && running.contains("held"), "{running}");
    serde_json::from_str::<Value>(&world.text(run, "run.json")).unwrap()["trigger"].clone()
}

fn assert_skipped(world: &World, run: &Run) {
    assert_eq!(run.end(), Some((Phase::Skipped, Reason::TriggerFalse)), "{run:#?}");
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Skipped]);
    assert!(world.lines("ran").is_empty());
    assert_eq!(world.file(run, "run.json"), None, "nothing ran that could leave something");
}

#[test]
fn what_holds_at_the_instant_begins_then_and_says_by_what() {
    let (mut world, _terminal) = world(World::new(), 80.5);
    let at = soon();
    world.declare([job(&world, at, SLOW, "0s")]);
    let run = world.wait_end("run");
    let trigger = assert_began(&world, &run);
    assert_eq!(trigger["when"], SLOW);
    assert_eq!(trigger["seen"], json!({"dish.pop_ping_latency_ms": 80.5}));
    assert!(run.events[1].message.ends_with("held: dish.pop_ping_latency_ms = 80.5"));
    let late = run.at(Phase::Running) - at;
    assert!(late < TimeDelta::seconds(5), "{late}");
    world.wait_tidy();
}

#[test]
fn what_does_not_hold_is_skipped_with_what_was_seen_and_what_was_not() {
    let (mut world, _terminal) = world(World::new(), 40.5);
    world.declare([job(&world, soon(), &format!("{SLOW} || weather.rain_1h > 0.0"), "0s")]);
    let run = world.wait_end("run");
    assert_skipped(&world, &run);
    assert_eq!(
        run.last().message,
        format!(
            "its trigger `{SLOW} || weather.rain_1h > 0.0` could not be decided: \
             dish.pop_ping_latency_ms = 40.5; not measured: weather.rain_1h"
        )
    );
    world.wait_tidy();
}

#[test]
fn a_run_waits_for_its_trigger_and_ends_with_its_time() {
    let (mut world, terminal) = world(World::new(), 40.0);
    let at = soon();
    // Longer than the start deadline: what counts is the wait.
    world.declare([job(&world, at, SLOW, "50s").start_deadline("1s").length("8s").sh("sleep 60")]);
    world.wait("its instant, and more than its start deadline", |_| {
        (Utc::now() > at + TimeDelta::seconds(3)).then_some(())
    });
    assert_eq!(world.reconciler.record().runs("run")[0].phases(), [Phase::Deploying], "it waits");
    terminal.says().latency = Some(90.0);
    let changed = Utc::now();
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    let began = run.at(Phase::Running);
    assert!(began > changed - TimeDelta::milliseconds(20) && began < changed + TimeDelta::seconds(4));
    let ended = run.at(Phase::Uploading) - (at + TimeDelta::seconds(8));
    assert!(ended > -TimeDelta::milliseconds(20) && ended < TimeDelta::seconds(4), "it ended {ended} late");
}

#[test]
fn waiting_ends_with_its_time() {
    let (mut world, _terminal) = world(World::new(), 40.0);
    let at = soon();
    world.declare([job(&world, at, SLOW, "2s")]);
    let run = world.wait_end("run");
    assert_skipped(&world, &run);
    assert!(run.last().message.contains("did not hold within 2s: dish.pop_ping_latency_ms = 40"));
    let waited = run.at(Phase::Skipped) - at;
    assert!(waited >= TimeDelta::seconds(2) && waited < TimeDelta::seconds(6), "{waited}");
    world.wait_tidy();
}

#[test]
fn what_is_silent_decides_nothing() {
    let (mut world, mut terminal) = world(World::new(), 90.0);
    terminal.vanish();
    world.wait("the terminal to be missed", |world| {
        world.agent.as_ref().unwrap().log().contains("nothing is measured").then_some(())
    });
    // What it said last would do, and is old by then.
    world.declare([job(&world, Utc::now() + TimeDelta::seconds(4), SLOW, "0s")]);
    let run = world.wait_end("run");
    assert_skipped(&world, &run);
    assert!(run.last().message.ends_with("not measured: dish.pop_ping_latency_ms"), "{}", run.last().message);
}

#[test]
fn an_agent_that_is_killed_while_a_run_waits_goes_on_waiting() {
    let (mut world, terminal) = world(World::new(), 40.0);
    let at = soon();
    world.declare([job(&world, at, SLOW, "50s").start_deadline("1s")]);
    world.wait_phase("run", Phase::Deploying);
    for _ in 0..3 {
        pause(Duration::from_millis(700));
        world.kill();
        world.start();
    }
    let asked = terminal.says().asked;
    world.wait("the terminal to be measured", |_| (terminal.says().asked > asked + 2).then_some(()));
    assert_eq!(world.reconciler.record().runs("run")[0].phases(), [Phase::Deploying], "it waits");
    terminal.says().latency = Some(90.0);
    let run = world.wait_end("run");
    let trigger = assert_began(&world, &run);
    assert_eq!(trigger["seen"]["dish.pop_ping_latency_ms"], 90.0);
    world.wait_tidy();
}

#[test]
fn by_what_it_began_is_known_also_after_a_kill() {
    for point in [Point::Due, Point::Released, Point::Running] {
        let terminal = Terminal::start(90.0);
        let mut world = World::new();
        world.desired.node["telemetry"] = json!({"dish": {"address": terminal.address()}});
        let at = Utc::now() + TimeDelta::seconds(3);
        world.declare([job(&world, at, SLOW, "30s")]);
        world.start_until(point);
        world.start();
        let run = world.wait_end("run");
        assert_began(&world, &run);
        world.wait_tidy();
    }
}

#[test]
fn a_run_that_waits_can_be_cancelled() {
    let (mut world, _terminal) = world(World::new(), 40.0);
    world.declare([job(&world, soon(), SLOW, "50s")]);
    let run = world.wait_phase("run", Phase::Deploying);
    pause(Duration::from_millis(700));
    let cancellation =
        Cancellation { run_id: run.key.0.clone(), actor: "alice".to_owned(), reason: String::new() };
    world.reconciler.instruct(&Instructions { cancellations: vec![cancellation], ..Default::default() });
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert!(world.lines("ran").is_empty());
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_waits_at_its_gate_and_none_is_left_of_one_that_is_skipped() {
    let (mut world, terminal) = world(World::with_docker(), 40.0);
    let at = Utc::now() + TimeDelta::seconds(4);
    let job = |name: &str, wait: &str| {
        let trigger = json!({"when": SLOW, "wait": wait});
        Job::once(name, at)
            .spec("trigger", trigger)
            .spec("exclusive", json!(false))
            .length("60s")
            .sh("echo ran")
    };
    world.declare([job("skipped", "1s"), job("waits", "50s")]);
    world.wait("both containers", |world| (world.containers().len() == 2).then_some(()));
    let skipped = world.wait_end("skipped");
    assert_eq!(skipped.end(), Some((Phase::Skipped, Reason::TriggerFalse)));
    world.wait("its container to go", |world| (world.containers().len() == 1).then_some(()));
    terminal.says().latency = Some(90.0);
    let changed = Utc::now();
    let run = world.wait_end("waits");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert_eq!(world.log(&run), "ran\n");
    let began = run.at(Phase::Running) - changed;
    assert!(began < TimeDelta::seconds(4), "{began}");
    world.wait_tidy();
}
