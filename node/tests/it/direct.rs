//! Uploads that go to the store itself, and do not go well.

use std::{fs, path::Path, time::Duration};

use almanac_schemas::{Phase, Reason};
use sha2::{Digest, Sha256};

use crate::harness::{Job, Record, Run, SIGNATURE, Store, World, pause, unpack};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));
const MIB: u64 = 1 << 20;

/// A world whose large files go to a store.
fn world() -> (World, Store) {
    let (world, store) = (World::new(), Store::start());
    world.reconciler.faults().direct = Some(store.shared());
    (world, store)
}

/// A run that leaves 6 MiB that no compression makes smaller.
fn large() -> Job {
    Job::soon("large").length("1m").sh("head -c 6291456 /dev/urandom > data; sha256sum < data")
}

/// How much of the archive of the one run is confirmed.
fn arrived(record: &Record) -> Option<u64> {
    let (_, file) = record.files.iter().find(|((_, name), _)| name == "artifacts.tar.zst")?;
    Some(file.data.len() as u64)
}

fn assert_whole(world: &World, run: &Run) {
    assert_eq!(run.end(), DONE, "{run:#?}");
    let files = unpack(&world.file(run, "artifacts.tar.zst").unwrap());
    let data = files[0].2.as_ref().unwrap();
    assert_eq!(data.len() as u64, 6 * MIB);
    let hash: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(world.stdout(run).starts_with(&hash));
    let calls = world.reconciler.record().calls.clone();
    assert!(!calls.contains_key("upload"), "nothing goes through the reconciler: {calls:?}");
}

#[test]
fn a_large_file_goes_to_the_store_and_small_ones_with_their_announcement() {
    let (mut world, store) = world();
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    let calls = world.reconciler.record().calls.clone();
    assert_eq!((calls["begin"], calls["commit"]), (3, 1), "{calls:?}");
    let received = store.shelf().received;
    assert!((6 * MIB..6 * MIB + MIB).contains(&received), "nothing is sent twice: {received}");
    world.wait_tidy();
}

#[test]
fn parts_are_as_long_as_the_store_wants_them() {
    let (mut world, store) = world();
    store.shelf().bounds = (5 << 20, 8 << 20);
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    assert_eq!(world.reconciler.record().calls["grant"], 2, "five MiB, and the rest");
}

#[test]
fn what_a_store_does_not_take_is_sent_again() {
    for answers in
        [vec![500, 503, 500], vec![429], vec![403, 403], vec![400], vec![507, 503, 500, 500, 500, 500, 503]]
    {
        let (mut world, store) = world();
        store.shelf().answers = answers.clone().into();
        let (run, _) = world.run("large", large());
        assert_whole(&world, &run);
        assert!(store.shelf().answers.is_empty(), "{answers:?}");
    }
}

#[test]
fn a_grant_that_has_expired_is_asked_for_anew() {
    let (mut world, store) = world();
    store.shelf().expired = 2;
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    assert_eq!(store.shelf().expired, 0);
}

#[test]
fn a_part_that_is_cut_off_is_sent_again_as_a_whole() {
    let (mut world, store) = world();
    store.shelf().cut_after = Some(100_000);
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    assert_eq!(store.shelf().cut_after, None);
}

#[test]
fn an_agent_that_is_killed_goes_on_from_what_is_confirmed() {
    let (mut world, store) = world();
    store.shelf().delay = Duration::from_millis(10);
    world.declare([large()]);
    world.start();
    world.wait_told("the middle", |record| (arrived(record)? >= 2 * MIB).then_some(()));
    world.kill();
    let there = arrived(&world.reconciler.record()).unwrap();
    store.shelf().delay = Duration::ZERO;
    world.start();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
    let record = world.reconciler.record();
    let begun_at = &record.files[&(run.key.clone(), "artifacts.tar.zst".to_owned())].begun_at;
    assert!(begun_at.iter().skip(1).all(|offset| *offset >= there), "{begun_at:?}, and {there} were there");
}

#[test]
fn a_reconciler_that_vanishes_in_the_middle_confirms_the_rest_later() {
    let (mut world, store) = world();
    store.shelf().delay = Duration::from_millis(10);
    world.declare([large()]);
    world.start();
    world.wait_told("the middle", |record| (arrived(record)? >= MIB).then_some(()));
    world.reconciler.vanish();
    store.shelf().delay = Duration::ZERO;
    world.reconciler.come_back();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
}

#[test]
fn nothing_goes_to_a_store_while_an_exclusive_run_goes_on() {
    let (mut world, store) = world();
    store.shelf().delay = Duration::from_millis(10);
    let gate = world.path("gate");
    let held = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    world.declare([large()]);
    world.start();
    world.wait_told("its beginning", |record| (arrived(record)? > 0).then_some(()));
    world.declare([Job::soon("measurement").length("1m").sh(&held)]);
    world.wait_phase("measurement", Phase::Running);
    // What is in buffers on the way still arrives; then nothing does.
    let still = |_: &World| {
        let there = store.shelf().received;
        pause(Duration::from_millis(1500));
        (store.shelf().received == there).then_some(there)
    };
    world.wait("silence on the link", still);
    assert!(arrived(&world.reconciler.record()).unwrap() < 6 * MIB, "it is not whole yet");
    fs::write(&gate, "").unwrap();
    let run = world.wait_end("large");
    assert_whole(&world, &run);
    assert_eq!(world.wait_end("measurement").end(), DONE);
    world.wait_tidy();
}

#[test]
fn a_redirect_is_not_followed() {
    let (mut world, store) = world();
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    store.shelf().redirect = Some(format!("http://{}/", elsewhere.local_addr().unwrap()));
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    assert_eq!(store.shelf().redirect, None);
    assert!(elsewhere.accept().is_err(), "nobody came");
}

#[test]
fn a_file_that_arrives_broken_once_is_sent_again_and_one_that_always_does_is_given_up() {
    let (mut world, _store) = world();
    world.reconciler.faults().corrupt = true;
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);

    let (mut world, _store) = self::world();
    world.reconciler.faults().always_corrupt = true;
    world.declare([large()]);
    world.start();
    let run = world.wait_end("large");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::Artifacts)));
    assert!(run.last().message.contains("it arrived broken 5 times"), "{}", run.last().message);
    world.wait_tidy();
}

#[test]
fn a_grant_is_neither_logged_nor_kept() {
    let (world, store) = world();
    let mut world = world.option("--log", "trace");
    store.shelf().answers = vec![503, 403].into();
    store.shelf().cut_after = Some(100_000);
    let (run, _) = world.run("large", large());
    assert_whole(&world, &run);
    let log = world.agent.as_ref().unwrap().log();
    assert!(log.contains("TRACE"), "it says all that it ever says");
    assert!(!log.contains(SIGNATURE), "the log has a signature");
    world.kill();
    assert!(!holds(&world.state_dir(), SIGNATURE.as_bytes()), "the state folder has a signature");
}

/// Whether a file below a folder has this in it.
fn holds(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(&path).is_ok_and(|content| content.windows(text.len()).any(|window| window == text))
    })
}
