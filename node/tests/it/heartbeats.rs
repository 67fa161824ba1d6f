//! Heartbeats: that the node is alive, what it is, and what it follows.

use std::{fs, time::Duration};

use crate::harness::{Job, World};

#[test]
fn they_say_what_the_node_is() {
    let mut world = World::new().option("--address", "203.0.113.7");
    world.start();
    let first = world.wait_told("a heartbeat", |record| record.heartbeats.first().cloned());
    assert_eq!(first.node, world.node.as_str());
    assert_eq!(first.agent_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(first.boot_id, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    assert_eq!(first.address, "203.0.113.7");
    assert_eq!(first.engine, "process");
    assert_eq!((first.epoch.as_str(), first.generation), ("", 0), "it holds nothing yet");
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
