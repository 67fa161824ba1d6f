//! Uploads that do not go well.

use std::time::Duration;

use tonic::Code;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Record, World, unpack};

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
    assert!(world.text(run, "run.log").starts_with(&hash));
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
            assert_eq!(world.text(&run, "run.log"), format!("{}\n", run.key.0));
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
