//! What waits for the reconciler takes no more room than it may, and what goes for that is recorded.

use std::fs;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World, command, output};

/// A run that leaves so many bytes that no compression makes smaller.
fn leaving(job: Job, bytes: usize) -> Job {
    job.length("1m").sh(&format!("echo out; head -c {bytes} /dev/urandom > data"))
}

fn status(world: &World, form: &str) -> String {
    let mut command = command();
    command.args(["status", "--output", form, "--state-dir"]).arg(world.state_dir());
    String::from_utf8(output(command).stdout).unwrap()
}

/// How much lies in the folders of runs.
fn spooled(world: &World) -> u64 {
    fn size(folder: &std::path::Path) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        let sizes = entries.flatten().map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        });
        sizes.sum()
    }
    size(&world.state_dir().join("runs"))
}

#[test]
fn artifacts_of_the_oldest_runs_go_when_there_are_too_many() {
    let world = World::new();
    let settings = world.path("agent.toml");
    fs::write(&settings, "spool-limit = \"300KiB\"").unwrap();
    let mut world = world.option("--config", settings.to_str().unwrap());
    let names = ["one", "two", "three"];
    let at = |second: i64| Utc::now() + TimeDelta::milliseconds(1000 + 500 * second);
    let jobs = [0, 1, 2].map(|index| leaving(Job::once(names[index as usize], at(index)), 128 << 10));
    world.declare(jobs);
    world.start();
    world.wait_followed();
    world.reconciler.vanish();
    let seen = world.wait("room to be made", |world| {
        let seen: Value = serde_json::from_str(&status(world, "json")).ok()?;
        (seen["backlog"]["droppedFiles"] == 1).then_some(seen)
    });
    assert!(seen["backlog"]["bytes"].as_u64().unwrap() <= 300 << 10, "{seen}");
    assert_eq!(seen["backlog"]["limit"], 300 << 10);
    assert!(spooled(&world) < 310 << 10, "packed artifacts are not kept twice: {}", spooled(&world));
    let text = status(&world, "human");
    assert!(text.contains("(at most 300.0 KiB)"), "{text}");
    assert!(text.contains("1 file of 128.") && text.contains("dropped within 30 days"), "{text}");
    let log = world.agent.as_ref().unwrap().log();
    assert!(log.contains("the node's spool was full") && log.contains("artifacts.tar.zst"), "{log}");

    // A smaller bound, after a restart.
    world.kill();
    fs::write(&settings, "spool-limit = \"140KiB\"").unwrap();
    world.start();
    world.wait("more room to be made", |world| {
        let seen: Value = serde_json::from_str(&status(world, "json")).ok()?;
        (seen["backlog"]["droppedFiles"] == 2).then_some(())
    });
    world.reconciler.come_back();
    let ends: Vec<_> = names.map(|name| world.wait_end(name)).into();
    for run in &ends[..2] {
        assert_eq!(run.end(), Some((Phase::Failed, Reason::Artifacts)));
        assert_eq!(run.last().exit_code, Some(0), "its own end is known all the same");
        assert_eq!(world.log(run), "out\n");
        assert!(world.file(run, "artifacts.tar.zst").is_none());
    }
    let messages: Vec<&str> = ends.iter().map(|run| run.last().message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`artifacts.tar.zst` was dropped: the node's spool was full (300KiB)",
            "`artifacts.tar.zst` was dropped: the node's spool was full (140KiB)",
            ""
        ]
    );
    assert_eq!(ends[2].end(), Some((Phase::Completed, Reason::ExitCode)));
    assert!(world.file(&ends[2], "artifacts.tar.zst").is_some());
    world.wait_tidy();
}
