//! Part of the host's disk stays free, whatever runs write.

use std::fs;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Disk, EngineProcess, Job, World, command, output, unpack};

const FORBIDDEN: Option<(Phase, Reason)> = Some((Phase::Skipped, Reason::ForbiddenByHost));
const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));
const FULL: Option<(Phase, Reason)> = Some((Phase::Failed, Reason::Artifacts));

/// A world whose agents keep so much of the disk.
fn keeping(world: World, reserve: &str, rest: &str) -> World {
    let file = world.path("agent.toml");
    fs::write(&file, format!("{rest}\n[policy]\ndisk-reserve = \"{reserve}\"\n")).unwrap();
    world.option("--config", file.to_str().unwrap())
}

/// Writes a mebibyte of a device to a file of its own, again and again.
fn filling(job: Job, device: &str) -> Job {
    job.length("2m").spec("exclusive", json!(false)).sh(&format!(
        "echo begun; i=0; while true; do i=$((i + 1)); head -c 1048576 /dev/{device} > $ALMANAC_ARTIFACTS/$i; sleep 0.25; done"
    ))
}

/// A run that writes little, and goes on.
fn modest(job: Job) -> Job {
    job.length("2m")
        .spec("exclusive", json!(false))
        .sh("head -c 2000000 /dev/urandom > $ALMANAC_ARTIFACTS/data; sleep 15; echo done")
}

/// What is short ends the run that wrote the most, and no other; afterwards runs start again.
fn fill(mut world: World, disk: Disk) {
    world.declare([filling(Job::soon("greedy"), "zero"), modest(Job::soon("modest"))]);
    world.start();
    world.wait_phase("modest", Phase::Running);
    let greedy = world.wait_end("greedy");
    assert_eq!(greedy.end(), FULL, "{:?}", greedy.last());
    let message = &greedy.last().message;
    assert!(message.contains("it was stopped: the host's disk had "), "{message}");
    assert!(message.contains("32.0 MiB are kept for the host (`disk-reserve`)"), "{message}");
    // What it left takes little room when it is packed, and is kept.
    assert!(world.log(&greedy).starts_with("begun\n"));
    let files = unpack(&world.file(&greedy, "artifacts.tar.zst").unwrap());
    assert!(files.len() > 10 && files.len() < 60, "{} files", files.len());
    let modest = world.wait_end("modest");
    assert_eq!(modest.end(), DONE, "{:?}", modest.last());

    // There is room again.
    let (after, log) = world.run("after", Job::soon("after").sh("echo after"));
    assert_eq!((after.end(), log.as_str()), (DONE, "after\n"));
    world.wait_tidy();
    drop(world.agent.take());
    drop(disk);
}

#[test]
#[ignore = "needs root"]
fn the_process_that_writes_the_most_is_stopped_before_the_disk_is_full() {
    let world = keeping(World::new(), "32MiB", "");
    let disk = Disk::mount(world.state_dir().join("runs"), "60m");
    fill(world, disk);
}

#[test]
#[ignore = "needs docker"]
fn the_container_that_writes_the_most_is_stopped_before_the_disk_is_full() {
    let world = keeping(World::with_docker(), "32MiB", "");
    let disk = Disk::mount(world.state_dir().join("runs"), "60m");
    fill(world, disk);
}

#[test]
#[ignore = "needs root"]
fn what_does_not_fit_beside_the_reserve_is_not_packed_and_the_log_is_kept() {
    let mut world = keeping(World::new(), "16MiB", "");
    let disk = Disk::mount(world.state_dir().join("runs"), "64m");
    world.declare([filling(Job::soon("noise"), "urandom")]);
    world.start();
    let run = world.wait_end("noise");
    assert_eq!(run.end(), FULL, "{:?}", run.last());
    let message = &run.last().message;
    assert!(message.contains("of the runs it had written the most"), "{message}");
    assert!(message.contains("no space left on the disk but what is kept for the host"), "{message}");
    assert!(world.log(&run).starts_with("begun\n"));
    assert!(world.file(&run, "artifacts.tar.zst").is_none());
    world.wait_tidy();
    drop(world.agent.take());
    drop(disk);
}

#[test]
#[ignore = "needs root"]
fn nothing_starts_below_the_reserve_and_everybody_who_asks_is_told() {
    let mut world = keeping(World::new(), "16MiB", "");
    let disk = Disk::mount(world.state_dir(), "64m");
    // Somebody else fills the disk.
    let other = world.state_dir().join("other");
    fs::write(&other, vec![1; 55 << 20]).unwrap();
    world.declare([Job::soon("short"), Job::once("later", Utc::now() + TimeDelta::hours(1))]);
    world.start();
    let short = world.wait_end("short");
    assert_eq!((short.end(), short.phases().len()), (FORBIDDEN, 1));
    let message = &short.last().message;
    assert!(message.starts_with("the host's disk has "), "{message}");
    assert!(message.ends_with(" MiB free, and 16.0 MiB are kept for the host (`disk-reserve`)"), "{message}");
    world.wait_told("the reconciler to be told", |record| {
        let outlook = record.heartbeats.iter().rev().find_map(|beat| beat.said.outlook.as_ref())?;
        outlook.hindrances.iter().any(|next| next.message.contains("disk-reserve")).then_some(())
    });
    let ask = |world: &World, what: &str, form: &str| {
        let mut asked = command();
        asked.args([what, "--output", form]);
        if what == "doctor" {
            asked.args(world.command().get_args().skip(1));
        } else {
            asked.arg("--state-dir").arg(world.state_dir());
        }
        let said = output(asked);
        (said.status.code(), String::from_utf8(said.stdout).unwrap())
    };
    let (_, status) = ask(&world, "status", "human");
    assert!(status.contains("no new run starts: the host's disk has "), "{status}");
    assert!(status.contains("will not run, forbidden_by_host: the host's disk has"), "{status}");
    let (code, doctor) = ask(&world, "doctor", "human");
    assert!(code == Some(1) && doctor.contains("no run starts: "), "{doctor}");
    assert!(doctor.contains("keep less, with `disk-reserve`"), "{doctor}");

    fs::remove_file(&other).unwrap();
    let (run, _) = world.run("again", Job::soon("again"));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    let status: Value = serde_json::from_str(&ask(&world, "status", "json").1).unwrap();
    assert!(status["short"].is_null(), "{status}");
    assert!(status["disk"].as_str().unwrap().ends_with("16.0 MiB kept for the host"), "{status}");
    world.wait_told("the reconciler to be told that runs start", |record| {
        let outlook = record.heartbeats.iter().rev().find_map(|beat| beat.said.outlook.as_ref())?;
        outlook.hindrances.is_empty().then_some(())
    });
    drop(world.agent.take());
    drop(disk);
}

#[test]
#[ignore = "needs docker"]
fn what_a_container_writes_to_its_own_file_system_counts() {
    let engine = EngineProcess::start_on(Some("128m"));
    let mut world = keeping(World::with_docker(), "32MiB", &format!("docker-host = \"{}\"", engine.host()));
    let fill =
        "echo begun; i=0; while true; do i=$((i + 1)); head -c 1048576 /dev/urandom > /$i; sleep 0.05; done";
    let beside = modest(Job::soon("modest"));
    let greedy = Job::soon("greedy").length("2m").spec("exclusive", json!(false)).sh(fill);
    world.declare([greedy.container("readOnly", json!(false)), beside]);
    world.start();
    let greedy = world.wait_end("greedy");
    assert_eq!(greedy.end(), FULL, "{:?}", greedy.last());
    let message = &greedy.last().message;
    assert!(message.contains("it was stopped: the engine's disk had "), "{message}");
    assert!(world.log(&greedy).starts_with("begun\n"));
    assert_eq!(world.wait_end("modest").end(), DONE);
    let (after, log) = world.run("after", Job::soon("after").sh("echo after"));
    assert_eq!((after.end(), log.as_str()), (DONE, "after\n"));
    drop(world.agent.take());
}

#[test]
fn artifacts_that_grow_too_large_end_their_run() {
    let mut world = World::new();
    let job = Job::soon("large").length("2m").spec("artifacts", json!({"maxSize": "1MiB"}));
    world.declare([
        job.sh("echo begun; head -c 3000000 /dev/urandom > $ALMANAC_ARTIFACTS/data; sleep 100; echo late"),
        // What is sparse takes nothing of the disk; its size counts when it is packed.
        Job::soon("sparse").length("2m").spec("exclusive", json!(false)).spec("artifacts", json!({"maxSize": "1MiB"})).sh(
            "truncate -s 1G $ALMANAC_ARTIFACTS/data; sleep 4; rm $ALMANAC_ARTIFACTS/data; echo small > $ALMANAC_ARTIFACTS/small",
        ),
    ]);
    world.start();
    let run = world.wait_end("large");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ArtifactsTooLarge)), "{:?}", run.last());
    let message = &run.last().message;
    assert!(
        message.starts_with("it was stopped when its artifacts had 3000000 bytes of 1048576 at most"),
        "{message}"
    );
    assert!(world.log(&run).starts_with("begun\n"));
    assert!(world.file(&run, "artifacts.tar.zst").is_none());
    assert_eq!(world.wait_end("sparse").end(), DONE);
    world.wait_tidy();
}
