//! The container engine is restarted under its agent: an engine of the test's own, which harms nobody else's containers.

use std::fs;

use chrono::{TimeDelta, Utc};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Ending, EngineProcess, Job, Run, World, pause};

/// One run goes on and another is made ready when the engine ends.
fn restarts(ending: Ending) {
    let mut engine = EngineProcess::start();
    let file_name = engine.folder().join("agent.toml");
    fs::write(&file_name, format!("docker-host = \"{}\"\n", engine.host())).unwrap();
    let mut world = World::with_docker().option("--config", file_name.to_str().unwrap());
    let at = Utc::now() + TimeDelta::seconds(25);
    let job = |name: &str, at| {
        Job::once(name, at).length("2m").start_deadline("1m").spec("exclusive", serde_json::json!(false))
    };
    world.declare([
        job("going", Utc::now() + TimeDelta::seconds(3))
            .sh("echo begun; echo ran >> $ALMANAC_ARTIFACTS/ran; sleep 100"),
        job("ready", at).sh("echo ran >> $ALMANAC_ARTIFACTS/ran; echo done"),
        job("later", at + TimeDelta::seconds(15)).sh("echo ran >> $ALMANAC_ARTIFACTS/ran; echo done"),
    ]);
    world.start();
    let going = world.wait_phase("going", Phase::Running);
    world.wait("what is made ready", |_| (engine.containers().len() >= 2).then_some(()));
    engine.end(ending);
    pause(std::time::Duration::from_secs(1));
    engine.come_back();

    // Without `live-restore` a container ends with its engine, and its run says so.
    let ended = world.wait_end("going");
    assert_eq!(ended.end().unwrap().0, Phase::Failed, "{ending:?}: {ended:#?}");
    assert_eq!(ended.key, going.key);
    assert!(!ended.last().message.is_empty(), "{ending:?}: {ended:#?}");
    let files = crate::harness::unpack(&world.file(&ended, "artifacts.tar.zst").unwrap());
    assert_eq!(files[0].2.as_deref(), Some(&b"ran\n"[..]), "{ending:?}: it ran once");
    eprintln!("{ending:?}: {}", ended.last().message);
    for name in ["ready", "later"] {
        let run = world.wait_end(name);
        assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{ending:?}: {run:#?}");
        assert_eq!(world.log(&run), "done\n", "{ending:?}: it ran once");
        let files = crate::harness::unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
        assert_eq!(files[0].2.as_deref(), Some(&b"ran\n"[..]), "{ending:?}: it ran once");
    }
    let runs: Vec<Run> =
        ["going", "ready", "later"].iter().flat_map(|name| world.reconciler.record().runs(name)).collect();
    assert_eq!(runs.len(), 3, "{ending:?}: each instant has one record");
    world.wait("the containers to go", |_| engine.containers().is_empty().then_some(()));
}

#[test]
#[ignore = "needs docker"]
fn an_engine_that_is_stopped() {
    restarts(Ending::Stopped);
}

#[test]
#[ignore = "needs docker"]
fn an_engine_that_is_killed() {
    restarts(Ending::Killed);
}
