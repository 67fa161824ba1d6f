//! A journal that is damaged or gone: it is set aside and built anew, whatever goes on, and no instant runs twice or is
//! forgotten.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, World, command, output, unpack};

/// Runs are going on at any instant, and what each began is seen by its file.
const SCRIPT: &str = "echo one; echo ran >> $ALMANAC_ARTIFACTS/ran; sleep 2.5; echo two";

#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    Header,
    Pages,
    Gone,
    Emptied,
    Row,
}

fn damage(journal: &Path, how: Damage) {
    let overwrite = |from: u64, bytes: &[u8]| {
        let mut file = File::options().write(true).open(journal).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(bytes).unwrap();
    };
    let beside = |ending: &str| journal.with_file_name(format!("journal.sqlite{ending}"));
    // What is in the log of a killed agent would repair what is overwritten here.
    if !matches!(how, Damage::Gone) {
        let status = std::process::Command::new("sqlite3")
            .arg(journal)
            .arg("PRAGMA wal_checkpoint(TRUNCATE)")
            .output()
            .expect("install sqlite3");
        assert!(status.status.success());
    }
    let size = fs::metadata(journal).unwrap().len();
    match how {
        Damage::Truncated => File::options().write(true).open(journal).unwrap().set_len(size / 2).unwrap(),
        Damage::Header => overwrite(0, b"this is no database at all"),
        Damage::Pages => {
            for page in (1..size / 4096).filter(|page| page % 2 == 1) {
                overwrite(page * 4096, &[0x5a; 4096]);
            }
        }
        Damage::Gone => fs::remove_file(journal).unwrap(),
        Damage::Emptied => {
            for ending in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(beside(ending));
            }
            File::create(journal).unwrap();
        }
        Damage::Row => {
            let change = "UPDATE runs SET state = 'nonsense' WHERE ordered IS NOT NULL";
            let done = std::process::Command::new("sqlite3").arg(journal).arg(change).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
}

/// Damages the journal of an agent that is killed while runs go on, and starts the next.
fn survives(mut world: World, every: i64, how: Damage, offline: bool) {
    let job = Job::every_second("tick")
        .schedule("cron", json!(format!("*/{every} * * * * *")))
        .start_deadline("20s")
        .length("1m")
        .sh(SCRIPT);
    let first = Utc::now();
    world.declare([job]);
    world.start();
    world.wait_ended("tick", 2);
    // So that something is known to the old journal alone.
    if offline {
        world.reconciler.vanish();
        let away = Utc::now();
        world.wait("runs that are not reported", |_| {
            (Utc::now() > away + TimeDelta::seconds(3)).then_some(())
        });
    }
    let killed_at = Utc::now();
    world.kill();
    damage(&world.state_dir().join("journal.sqlite"), how);
    let started_at = Utc::now();
    world.start();
    let status = world.wait("the agent to say what happened", |world| {
        let mut ask = command();
        ask.args(["status", "--state-dir"]).arg(world.state_dir());
        let done = output(ask);
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
    });
    assert!(status.contains("journal     lost and built anew "), "{how:?}: {status}");
    let up = Utc::now();
    if offline {
        world
            .wait("runs without the reconciler", |_| (Utc::now() > up + TimeDelta::seconds(4)).then_some(()));
        world.reconciler.come_back();
    }
    let done = Some((Phase::Completed, Reason::ExitCode));
    world.wait_told("a run after that", |record| {
        record.runs("tick").iter().any(|run| run.scheduled_at() > up && run.end() == done).then_some(())
    });
    world.declare([]);
    world.wait_followed();
    let last = Utc::now();
    let runs = world.wait_told("the end of all runs", |record| {
        let runs = record.runs("tick");
        runs.iter().all(|run| run.end().is_some()).then_some(runs)
    });
    for pair in runs.windows(2) {
        let step = pair[1].scheduled_at() - pair[0].scheduled_at();
        assert_eq!(step, TimeDelta::seconds(every), "{how:?}: each instant, and each once");
    }
    assert!(runs[0].scheduled_at() - first <= TimeDelta::seconds(every), "{how:?}");
    assert!(last - runs.last().unwrap().scheduled_at() <= TimeDelta::seconds(every + 1), "{how:?}");
    let mut taken_over = 0;
    for run in &runs {
        assert_accounted(&world, run, how, killed_at, started_at, up);
        taken_over += usize::from(run.last().message.contains("journal was lost meanwhile"));
    }
    assert!(taken_over > 0, "{how:?}: what went on says so");
    if !matches!(how, Damage::Gone) {
        let kept = fs::read_dir(world.state_dir()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
            name.starts_with("journal.sqlite.corrupt-") && name.ends_with('Z')
        });
        assert_eq!(kept.count(), 1, "{how:?}: the old one is kept");
    }
    world.wait_tidy();
    let notes = world.state_dir().join("notes");
    world.wait("notes to go", |_| {
        let names = fs::read_dir(&notes).unwrap().map(|entry| entry.unwrap().file_name());
        names.into_iter().all(|name| name == "accounts" || name == "snapshot").then_some(())
    });
}

fn assert_accounted(
    world: &World,
    run: &Run,
    how: Damage,
    killed_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    up: DateTime<Utc>,
) {
    match run.end().unwrap() {
        (Phase::Completed, Reason::ExitCode) => {
            assert_eq!(world.log(run), "one\ntwo\n", "{how:?}");
            let files = unpack(&world.file(run, "artifacts.tar.zst").unwrap());
            assert_eq!(files[0].2.as_deref(), Some(&b"ran\n"[..]), "{how:?}: it ran once");
        }
        // The agent was away, or it was the moment of the rebuild.
        (Phase::Missed, Reason::NodeOffline) => {
            let at = run.scheduled_at();
            let ahead = TimeDelta::milliseconds(300);
            assert!(at > killed_at - ahead && at < up, "{how:?}, {killed_at}, {started_at}: {run:#?}");
            assert!(run.last().message.contains("journal was lost"), "{run:#?}");
        }
        _ => panic!("{how:?}: {run:#?}"),
    }
}

#[test]
fn a_truncated_journal() {
    survives(World::new(), 1, Damage::Truncated, false);
}

#[test]
fn a_journal_with_an_overwritten_header() {
    survives(World::new(), 1, Damage::Header, true);
}

#[test]
fn a_journal_with_overwritten_pages() {
    survives(World::new(), 1, Damage::Pages, false);
}

#[test]
fn a_journal_that_is_gone() {
    survives(World::new(), 1, Damage::Gone, true);
}

#[test]
fn a_journal_that_is_empty() {
    survives(World::new(), 1, Damage::Emptied, false);
}

#[test]
fn a_journal_with_rows_that_make_no_sense() {
    survives(World::new(), 1, Damage::Row, false);
}

#[test]
#[ignore = "needs docker"]
fn a_journal_that_is_lost_while_containers_run() {
    survives(World::with_docker(), 2, Damage::Pages, false);
}

#[test]
fn no_more_than_three_lost_journals_are_kept() {
    let mut world = World::new();
    world.declare([]);
    for _ in 0..5 {
        world.start();
        world.declare_again();
        world.wait_followed();
        world.kill();
        damage(&world.state_dir().join("journal.sqlite"), Damage::Header);
    }
    world.start();
    world.declare_again();
    world.wait_followed();
    let lost = fs::read_dir(world.state_dir()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.contains("corrupt") && name.ends_with('Z')
    });
    assert_eq!(lost.count(), 3);
}
