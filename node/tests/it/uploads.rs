//! Uploads that do not go well.

use std::time::Duration;

use tonic::Code;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Record, World, pause, unpack};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));
const MIB: u64 = 1 << 20;

/// A run that leaves 6 MiB that no compression makes smaller.
fn large(name: &str) -> Job {
    Job::soon(name).length("1m").sh("head -c 6291456 /dev/urandom > data; sha256sum < data")
}

/// How much of the archive of the one run is there.
fn arrived(record: &Record) -> Option<u64> {
    let (_, file) = record.files.iter().find(|((_, name), _)| name == "artifacts.tar.zst")?;
    Some(file.data.len() as u64)
}

fn assert_whole(world: &World, run: &crate::harness::Run) {
    assert_eq!(run.end(), DONE, "{run:#?}");
    let files = unpack(&world.file(run, "artifacts.tar.zst").unwrap());
    let data = files[0].2.as_ref().unwrap();
    assert_eq!(data.len() as u64, 6 * MIB);
    let hash: String =
        <sha2::Sha256 as sha2::Digest>::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(world.log(run).starts_with(&hash));
}

#[test]
fn one_that_is_cut_off_goes_on_where_it_stopped() {
    let mut world = World::new();
    world.reconciler.faults().cut_at = Some(3 * MIB);
    let (run, _) = world.run("large", large("large"));
    assert_whole(&world, &run);
    let begun_at = {
        let record = world.reconciler.record();
        record.files[&(run.key.clone(), "artifacts.tar.zst".to_owned())].begun_at.clone()
    };
    assert!(begun_at.iter().skip(1).any(|offset| *offset >= 3 * MIB && *offset < 4 * MIB), "{begun_at:?}");
    assert!(begun_at.is_sorted_by(|a, b| a < b), "nothing is sent twice: {begun_at:?}");
    world.wait_tidy();
}

#[test]
fn a_reconciler_that_vanishes_in_the_middle_of_one_gets_the_rest_later() {
    let mut world = World::new();
    world.reconciler.faults().part_delay = Duration::from_millis(30);
    world.declare([large("large")]);
    world.start();
    world.wait_told("the middle", |record| (arrived(record)? >= MIB).then_some(()));
    world.reconciler.vanish();
    let there = arrived(&world.reconciler.record()).unwrap();
    world.reconciler.faults().part_delay = Duration::ZERO;
    world.reconciler.come_back();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
    let record = world.reconciler.record();
    let begun_at = &record.files[&(run.key.clone(), "artifacts.tar.zst".to_owned())].begun_at;
    assert!(begun_at.iter().any(|offset| *offset >= there), "{begun_at:?} and {there} were there");
    drop(record);
    world.wait_tidy();
}

#[test]
fn an_agent_that_is_killed_in_the_middle_of_one_sends_the_rest_later() {
    let mut world = World::new();
    world.reconciler.faults().part_delay = Duration::from_millis(30);
    world.declare([large("large")]);
    world.start();
    world.wait_told("the middle", |record| (arrived(record)? >= 2 * MIB).then_some(()));
    world.kill();
    world.reconciler.faults().part_delay = Duration::ZERO;
    world.start();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
}

#[test]
fn one_that_arrives_broken_is_sent_again() {
    let mut world = World::new();
    world.reconciler.faults().corrupt = true;
    let (run, _) = world.run("large", large("large"));
    assert_whole(&world, &run);
    assert!(!world.reconciler.faults().corrupt, "it was broken once");
}

#[test]
fn small_ones_come_with_their_announcement() {
    let mut world = World::new();
    let (run, log) = world.run("small", Job::soon("small").sh("echo out; echo kept > file"));
    assert_eq!((run.end(), log.as_str()), (DONE, "out\n"));
    let calls = world.reconciler.record().calls.clone();
    assert_eq!(calls["begin"], 3, "the log, the facts and the artifacts: {calls:?}");
    assert!(!calls.contains_key("upload") && !calls.contains_key("commit"), "{calls:?}");
}

#[test]
fn they_take_no_more_of_the_link_than_they_may() {
    // The smaller of the two holds.
    for (manifest, host) in [("128KiB", "10GiB"), ("10GiB", "128KiB")] {
        let world = World::new();
        let settings = world.path("agent.toml");
        std::fs::write(&settings, format!("[policy]\nupload-rate = \"{host}\"\n")).unwrap();
        let mut world = world.option("--config", settings.to_str().unwrap());
        world.desired.node["uploadRate"] = serde_json::json!(manifest);
        let job = |name| {
            let job = Job::soon(name).sh("head -c 262144 /dev/urandom > data");
            job.spec("exclusive", serde_json::json!(false))
        };
        world.declare([job("one"), job("two")]);
        world.start();
        let ends = ["one", "two"].map(|name| world.wait_end(name));
        let begun = ends.iter().map(|run| run.at(Phase::Uploading)).min().unwrap();
        let ended = ends.iter().map(|run| run.at(Phase::Completed)).max().unwrap();
        // Half a MiB takes four seconds, but for what goes first.
        assert!(
            ended - begun > chrono::TimeDelta::milliseconds(3500),
            "{manifest}, {host}: {}",
            ended - begun
        );
        assert!(ends.iter().all(|run| run.end() == DONE));
    }
}

#[test]
fn they_stop_while_an_exclusive_run_goes_on_and_go_on_after_it() {
    let mut world = World::new();
    world.reconciler.faults().part_delay = Duration::from_millis(10);
    let gate = world.path("gate");
    let held = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let shared = |job: Job| job.spec("exclusive", serde_json::json!(false));
    world.declare([large("large")]);
    world.start();
    world.wait_told("its beginning", |record| (arrived(record)? > 0).then_some(()));
    // Others may run: an upload goes on besides them.
    world.declare([shared(Job::soon("shared").length("1m").sh(&held))]);
    world.wait_phase("shared", Phase::Running);
    let before = arrived(&world.reconciler.record()).unwrap();
    world.wait_told("more of it", |record| (arrived(record)? > before + MIB / 4).then_some(()));

    world.declare([Job::soon("measurement").length("1m").sh(&held)]);
    world.wait_phase("measurement", Phase::Running);
    // What is in buffers on the way still arrives; then nothing does.
    let still = |world: &World| {
        let there = arrived(&world.reconciler.record()).unwrap();
        pause(Duration::from_millis(1500));
        (arrived(&world.reconciler.record()).unwrap() == there).then_some(there)
    };
    let there = world.wait("silence on the link", still);
    assert!(there < 6 * MIB, "it is not whole yet: {there}");
    let calls = world.reconciler.record().calls.clone();
    // A run that ends meanwhile has its files wait as well.
    world.declare([shared(Job::soon("other"))]);
    world.wait_phase("other", Phase::Uploading);
    assert!(still(&world).is_some());
    assert_eq!(calls["begin"], world.reconciler.record().calls["begin"], "nothing begins");

    std::fs::write(&gate, "").unwrap();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
    for name in ["measurement", "shared", "other"] {
        assert_eq!(world.wait_end(name).end(), DONE, "{name}");
    }
    world.wait_tidy();
}

#[test]
fn one_that_is_refused_for_a_while_holds_up_no_run() {
    for code in [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Aborted,
        Code::NotFound,
        Code::OutOfRange,
    ] {
        let mut world = World::new();
        world.reconciler.faults().refuse_uploads = Some(code);
        world.declare([Job::every_second("tick").sh("echo $ALMANAC_RUN")]);
        world.start();
        world.wait_told("three runs that wait", |record| {
            let waiting = |run: &crate::harness::Run| run.phases().last() == Some(&Phase::Uploading);
            (record.runs("tick").into_iter().filter(waiting).count() >= 3).then_some(())
        });
        world.declare([]);
        world.reconciler.faults().refuse_uploads = None;
        for run in world.wait_ended("tick", 3) {
            assert_eq!(run.end(), DONE, "after {code:?}");
            assert_eq!(world.log(&run), format!("{}\n", run.key.0));
        }
    }
}

#[test]
fn one_that_is_refused_for_good_fails_the_run_and_says_so() {
    let mut world = World::new();
    world.reconciler.faults().refuse_uploads = Some(Code::InvalidArgument);
    world.declare([Job::soon("run").sh("echo out; echo kept > file")]);
    world.start();
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::Artifacts)));
    assert!(run.last().message.contains("refused by the test"), "{}", run.last().message);
    world.wait_tidy();
}
