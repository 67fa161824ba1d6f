//! What the agent follows: the latest snapshot, as long as it is valid.

use chrono::{TimeDelta, Utc};
use tonic::Status;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

#[test]
fn an_older_generation_is_refused_and_another_epoch_is_not() {
    let mut world = World::new();
    world.desired.generation = 10;
    world.declare([]);
    world.start();
    world.wait_followed();

    let mut older = world.desired.clone();
    older.generation = 9;
    older.jobs = vec![Job::soon("from-the-past")];
    world.reconciler.declare(&older);
    world.declare([Job::soon("present")]);
    assert_eq!(world.wait_end("present").end(), DONE);
    assert!(world.reconciler.record().runs("from-the-past").is_empty());
    assert!(world.reconciler.record().heartbeats.iter().all(|beat| beat.generation != 9));

    // Nor after a restart: what was held is on the disk.
    world.kill();
    older.generation = 3;
    older.jobs = vec![Job::soon("from-further-past")];
    world.reconciler.declare(&older);
    world.start();
    world.wait("the refusal", |world| world.agent.as_ref()?.log().contains("older snapshot").then_some(()));

    world.desired.epoch = "epoch-2".to_owned();
    world.desired.generation = 0;
    world.declare([Job::soon("elsewhere")]);
    assert_eq!(world.wait_end("elsewhere").end(), DONE);
    world.wait_followed();
    assert!(world.reconciler.record().runs("from-further-past").is_empty());
}

#[test]
fn a_run_is_not_disturbed_when_its_job_is_removed() {
    let mut world = World::new();
    world.declare([Job::soon("long").sh("echo one; sleep 1; echo two")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    world.declare([]);
    world.wait_followed();
    let run = world.wait_end("long");
    assert_eq!(run.end(), DONE);
    assert_eq!(world.log(&run), "one\ntwo\n");
    assert_eq!(run.last().commit, format!("{:040x}", 1), "it follows the manifest that it began with");
}

#[test]
fn a_changed_job_changes_the_next_run_and_not_the_present_one() {
    let mut world = World::new();
    let gate = world.path("gate");
    let old = format!("echo old; while [ ! -e {0} ]; do sleep 0.05; done; echo still old", gate.display());
    world.declare([Job::every_second("tick").sh(&old)]);
    world.start();
    let first = world.wait_phase("tick", Phase::Running);
    world.declare([Job::every_second("tick").since(first.scheduled_at()).sh("echo new")]);
    world.wait_followed();
    let new = format!("{:040x}", 2);
    let second = world.wait_told("a run of the new manifest", |record| {
        record.runs("tick").into_iter().find(|run| run.events[0].commit == new && run.end().is_some())
    });
    assert_eq!(world.log(&second), "new\n");
    std::fs::write(&gate, "").unwrap();
    let first = world.wait_end("tick");
    assert_eq!(world.log(&first), "old\nstill old\n");
}

#[test]
fn a_removed_job_has_no_more_runs() {
    let mut world = World::new();
    world.declare([Job::every_second("tick")]);
    world.start();
    world.wait_ended("tick", 2);
    world.declare([Job::every_second("other")]);
    world.wait_followed();
    // What is due this very moment is settled already.
    let gone = Utc::now() + TimeDelta::milliseconds(200);
    world.wait_ended("other", 3);
    let after = world.reconciler.record().runs("tick").iter().filter(|run| run.scheduled_at() > gone).count();
    assert_eq!(after, 0);
}

#[test]
fn nothing_is_started_once_the_snapshot_is_no_longer_valid() {
    let mut world = World::new();
    let until = Utc::now() + TimeDelta::seconds(3);
    world.desired.valid_until = until;
    world.declare([Job::every_second("tick").start_deadline("1s").length("1s")]);
    world.start();
    world.wait_ended("tick", 1);
    // An agent renews what is about to end; here it gets the same again and again.
    world.wait("two seconds without a valid state", |_| {
        (Utc::now() > until + TimeDelta::seconds(2)).then_some(())
    });
    let after: Vec<_> = world
        .reconciler
        .record()
        .runs("tick")
        .into_iter()
        .filter(|run| run.scheduled_at() >= until)
        .collect();
    assert!(after.is_empty(), "{after:#?}");

    // What was held back is accounted for as soon as there is a valid state again.
    let valid_again = Utc::now();
    world.desired.valid_until = valid_again + TimeDelta::days(1);
    world.declare_again();
    let runs = world.wait_told("runs again", |record| {
        let runs = record.runs("tick");
        runs.last().is_some_and(|run| run.scheduled_at() > valid_again && run.end() == DONE).then_some(runs)
    });
    for pair in runs.windows(2) {
        assert_eq!(
            pair[1].scheduled_at() - pair[0].scheduled_at(),
            TimeDelta::seconds(1),
            "none is left out"
        );
    }
    let between = |run: &&crate::harness::Run| {
        run.scheduled_at() >= until && run.scheduled_at() < valid_again - TimeDelta::seconds(1)
    };
    assert!(runs.iter().filter(between).all(|run| run.phases() == [Phase::Missed]), "{runs:#?}");
}

#[test]
fn streams_that_end_are_opened_again() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait_followed();
    world.reconciler.cut_streams(None);
    world.declare([Job::soon("first")]);
    world.wait_end("first");
    for error in [Status::unavailable("gone"), Status::unauthenticated("no"), Status::internal("oops")] {
        world.reconciler.cut_streams(Some(&error));
    }
    world.declare([Job::soon("second")]);
    world.wait_end("second");
    world.wait_followed();
}

#[test]
fn a_state_that_is_held_is_renewed_without_being_sent_again_and_that_holds_after_a_restart() {
    let mut world = World::new();
    let until = Utc::now() + TimeDelta::seconds(4);
    world.desired.valid_until = until;
    world.declare([Job::every_second("tick").start_deadline("1s").length("1s")]);
    world.start();
    world.wait_ended("tick", 1);
    // The same generation, for longer: it is told when the agent asks again.
    world.desired.valid_until = Utc::now() + TimeDelta::days(1);
    world.reconciler.keep(&world.desired);
    world.reconciler.cut_streams(None);
    let runs_on = |record: &crate::harness::Record| {
        record.runs("tick").iter().any(|run| run.scheduled_at() > until && run.end() == DONE).then_some(())
    };
    world.wait_told("a run after the first end", runs_on);
    world.kill();
    world.reconciler.vanish();
    let restarted = Utc::now();
    world.start();
    world.wait("the time of another run", |_| (Utc::now() > restarted + TimeDelta::seconds(3)).then_some(()));
    world.reconciler.come_back();
    let runs_after = |record: &crate::harness::Record| {
        let mut runs = record.runs("tick").into_iter();
        runs.any(|run| run.scheduled_at() > restarted + TimeDelta::seconds(1) && run.end() == DONE)
            .then_some(())
    };
    world.wait_told("a run of the next agent, which was alone", runs_after);
}
