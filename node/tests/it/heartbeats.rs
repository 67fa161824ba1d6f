//! Heartbeats: that the node is alive, what it is, and what it follows.

use std::{fs, time::Duration};

use chrono::TimeDelta;
use serde_json::Value;

use crate::harness::{Job, Weather, World, command, output, pause};

/// How the agent says that it is.
fn status(world: &World) -> Value {
    let mut command = command();
    command.args(["status", "--output", "json", "--state-dir"]).arg(world.state_dir());
    serde_json::from_slice(&output(command).stdout).unwrap_or_default()
}

fn is_connected(world: &World) -> Option<()> {
    (status(world)["contact"]["state"] == "connected").then_some(())
}

fn is_lost(world: &World) -> Option<Value> {
    let status = status(world);
    (status["contact"]["state"] == "lost").then_some(status)
}

/// Within what time an agent has to notice that nobody is at the other end.
const NOTICED: Duration = Duration::from_secs(20);

#[test]
fn they_say_what_the_node_is() {
    let mut world = World::new().option("--address", "203.0.113.7");
    world.start();
    let first = world.wait_told("a heartbeat", |record| record.heartbeats.first().cloned());
    assert_eq!(first.said.node, world.node.as_str());
    assert_eq!(first.agent_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(first.boot_id, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    assert_eq!(first.address, "203.0.113.7");
    assert_eq!(first.engine, "process");
    assert_eq!((first.epoch.as_str(), first.generation), ("", 0), "it holds nothing yet");

    let host = first.host.unwrap();
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total = memory.lines().next().unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(host.memory_total, Some(total.parse::<u64>().unwrap() << 10));
    assert!(host.memory_available <= host.memory_total && host.memory_available > Some(0), "{host:?}");
    assert!(host.disk_free <= host.disk_total && host.disk_total > Some(0), "{host:?}");
    assert!(host.load_hundredths.is_some() && host.uptime_seconds > Some(0), "{host:?}");
}

#[test]
fn everything_is_said_once_and_a_beat_with_its_answer_is_less_than_200_bytes() {
    const BEATS: usize = 30;
    let mut world = World::new().through_a_network();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(100));
    world.declare([]);
    world.start();
    let count = |world: &World| world.reconciler.record().heartbeats.len();
    world.wait_followed();
    let before = world.wait("a settled connection", |world| {
        // The snapshot was the last thing to be sent beside heartbeats.
        let heartbeats = &world.reconciler.record().heartbeats;
        heartbeats.iter().rev().take(3).all(|beat| beat.said.generation.is_none()).then_some(heartbeats.len())
    });
    let bytes = world.network.as_ref().unwrap().carried();
    world.wait("heartbeats", |world| (count(world) >= before + BEATS).then_some(()));
    let (after, bytes) = (count(&world), world.network.as_ref().unwrap().carried() - bytes);
    // One more or less may have been on its way.
    let each = bytes as f64 / (after - before - 1) as f64;
    println!("a heartbeat and its answer: {each:.0} bytes of {} heartbeats", after - before);
    assert!(each < 200.0, "{each} bytes");

    let record = world.reconciler.record();
    assert_eq!(record.calls["heartbeat"], 1, "one stream");
    for beat in &record.heartbeats[before..after] {
        let said = &beat.said;
        assert!(said.agent_version.is_none() && said.boot_id.is_none() && said.engine.is_none(), "{said:?}");
        assert!(said.host.is_none(), "at most once a minute: {said:?}");
    }
}

#[test]
fn they_measure_the_clock_and_say_when_it_is_off() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(100));
    world.start();
    let measured = world.wait_told("a measurement", |record| record.heartbeats.last()?.clock);
    assert!(measured.offset_micros.unsigned_abs() <= measured.round_trip_micros, "{measured:?}");

    world.reconciler.faults().clock_ahead = TimeDelta::milliseconds(3_200);
    let measured = world.wait_told("the offset", |record| {
        record.heartbeats.last()?.clock.filter(|clock| clock.offset_micros > 3_000_000)
    });
    let error = (measured.offset_micros - 3_200_000).unsigned_abs();
    assert!(error <= measured.round_trip_micros, "{measured:?}");
    let said =
        |world: &World| world.agent.as_ref().unwrap().log().matches("the clock of this host is 3.").count();
    world.wait("a word on it", |world| (said(world) > 0).then_some(()));
    assert!(status(&world)["clock"]["offsetMicros"].as_i64() > Some(3_000_000), "{}", status(&world));
    let mut human = command();
    human.args(["status", "--state-dir"]).arg(world.state_dir());
    let human = String::from_utf8(output(human).stdout).unwrap();
    assert!(human.contains(" s behind the reconciler's") && human.contains("set it by NTP"), "{human}");

    let before = world.reconciler.record().heartbeats.len();
    world.wait_told("more heartbeats", |record| (record.heartbeats.len() > before + 10).then_some(()));
    world.reconciler.faults().clock_ahead = TimeDelta::zero();
    world.wait("the end of it", |world| {
        world.agent.as_ref().unwrap().log().contains("the clock of this host is right again").then_some(())
    });
    assert_eq!(said(&world), 1, "once");
}

/// Its packets are lost without a word, and so are those of every connection that is made meanwhile.
#[test]
fn a_line_that_goes_dead_is_noticed_while_nothing_is_said() {
    let mut world = World::new().through_a_network();
    // What is to notice it is the probe of a connection that nothing goes over.
    world.reconciler.set_heartbeat_interval(Duration::from_secs(3600));
    world.declare([]);
    world.start();
    world.wait_followed();
    world.wait("the connection", is_connected);
    pause(Duration::from_secs(1));
    world.network.as_ref().unwrap().is(Weather::BlackHole);
    let dead = std::time::Instant::now();
    let status = world.wait("the loss of it", is_lost);
    assert!(dead.elapsed() < NOTICED, "{:?}: {status}", dead.elapsed());
    let contact = &status["contact"];
    assert!(contact["problem"].as_str().unwrap().contains("the connection was lost"), "{contact}");
    assert!(contact["remedy"].as_str().unwrap().contains("the network"), "{contact}");
    world.network.as_ref().unwrap().is(Weather::Fair);
    world.declare([]);
    world.wait_followed();
    world.wait("the connection", is_connected);
}

#[test]
fn a_line_that_was_dead_from_the_start_is_noticed() {
    let mut world = World::new().through_a_network();
    world.network.as_ref().unwrap().is(Weather::BlackHole);
    world.declare([]);
    world.start();
    let begun = std::time::Instant::now();
    let status = world.wait("the loss of it", is_lost);
    assert!(begun.elapsed() < NOTICED, "{:?}: {status}", begun.elapsed());
    world.network.as_ref().unwrap().is(Weather::Fair);
    world.wait_followed();
    world.wait("the connection", is_connected);
}

#[test]
fn a_reconciler_that_does_not_answer_is_noticed_and_heard_of_again() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(200));
    world.declare([]);
    world.start();
    world.wait_followed();
    world.wait("the connection", is_connected);
    let streams = world.reconciler.record().calls["heartbeat"];
    world.reconciler.faults().hush_heartbeats = true;
    let silent = std::time::Instant::now();
    let status = world.wait("the loss of it", is_lost);
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    assert!(status["contact"]["problem"].as_str().unwrap().contains("not answered within 10 s"), "{status}");
    world.reconciler.faults().hush_heartbeats = false;
    world.wait("the connection", is_connected);
    assert!(world.reconciler.record().calls["heartbeat"] > streams, "by another stream");
}

#[test]
fn a_stream_that_ends_is_opened_again_at_a_decent_pace() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(10));
    world.declare([]);
    world.start();
    world.wait_followed();
    world.reconciler.faults().refuse = Some(tonic::Code::Unauthenticated);
    let calls = |world: &World| world.reconciler.record().calls["heartbeat"];
    world.wait("a refusal", |world| (calls(world) >= 3).then_some(()));
    let before = calls(&world);
    pause(Duration::from_secs(3));
    assert!(calls(&world) - before < 60, "{} streams in three seconds", calls(&world) - before);
    world.reconciler.faults().refuse = None;
    let before = world.reconciler.record().heartbeats.len();
    world.wait_told("heartbeats", |record| (record.heartbeats.len() > before + 5).then_some(()));
}

#[test]
fn they_come_at_the_pace_that_the_reconciler_asks_for() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(100));
    world.start();
    world.wait_told("many heartbeats", |record| (record.heartbeats.len() >= 20).then_some(()));

    world.reconciler.set_heartbeat_interval(Duration::from_secs(3600));
    world.declare([]);
    world.wait_followed();
    // One may have been under way when the pace changed.
    let settled = world.reconciler.record().heartbeats.len();
    world.declare([Job::every_second("clock")]);
    world.wait_ended("clock", 2);
    let now = world.reconciler.record().heartbeats.len();
    assert!(now - settled <= 2, "{} heartbeats in an hour's interval", now - settled);
}

#[test]
fn a_new_state_is_told_at_once() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_secs(3600));
    world.start();
    for _ in 0..5 {
        let before = std::time::Instant::now();
        world.declare([]);
        world.wait_followed();
        assert!(before.elapsed() < Duration::from_secs(2), "people look at it: {:?}", before.elapsed());
    }
    let last = world.reconciler.record().heartbeats.last().cloned().unwrap();
    assert_eq!((last.epoch.as_str(), last.generation), ("epoch-1", 5));
}

#[test]
fn they_go_on_after_a_reconciler_was_away() {
    let mut world = World::new();
    world.reconciler.set_heartbeat_interval(Duration::from_millis(100));
    world.start();
    world.wait_told("a heartbeat", |record| (!record.heartbeats.is_empty()).then_some(()));
    world.reconciler.vanish();
    let before = world.reconciler.record().heartbeats.len();
    world.reconciler.come_back();
    world.wait_told("more of them", |record| (record.heartbeats.len() >= before + 3).then_some(()));
}
