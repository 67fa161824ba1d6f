//! Scavenger mode: what is said to nodes, and where runs go that had to make room.

use std::time::Duration;

use almanac_proto::{
    convert::timestamp,
    v1::{self, Phase, Reason},
};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;
use tonic::Streaming;

use crate::harness::{Testbed, event, instant, manifest, run_id, whole_run};

const AT: &str = "2030-01-01T12:00:00Z";

/// How long after it is moved a run starts at the earliest, where nothing else is declared.
const DELAY: TimeDelta = TimeDelta::minutes(30);

async fn next(stream: &mut Streaming<v1::WatchDesiredStateResponse>) -> v1::WatchDesiredStateResponse {
    let message = timeout(Duration::from_secs(30), stream.message()).await.expect("a message in time");
    message.unwrap().expect("the stream goes on")
}

pub(crate) async fn told(testbed: &Testbed) -> v1::Instructions {
    next(&mut testbed.watch("london-01").await).await.instructions.unwrap()
}

pub(crate) fn at(instant: Option<prost_types::Timestamp>) -> DateTime<Utc> {
    let instant = instant.expect("an instant");
    DateTime::from_timestamp(instant.seconds, instant.nanos.cast_unsigned()).unwrap()
}

/// An exclusive job of London that runs once, with Paris as its server where it has one.
pub(crate) fn once(testbed: &Testbed, name: &str, served: bool, schedule: &str) {
    let job = match served {
        true => manifest::served_job(name, "bob", "london-01", "paris-01", schedule),
        false => manifest::job(name, "bob", "london-01", schedule),
    };
    exclusive(testbed, name, &job);
}

pub(crate) fn exclusive(testbed: &Testbed, name: &str, job: &str) {
    let job = job.replace("exclusive: false", "exclusive: true");
    testbed.repository.write(&format!("jobs/{name}.yaml"), job);
}

const NOON: &str = "{ at: 2030-01-01T12:00:00Z, length: 10m }";

/// The report of a run that had to make room.
fn made_room(job: &str, start: DateTime<Utc>, phase: Phase) -> v1::RunEvent {
    v1::RunEvent {
        reason: Reason::Scavenger.into(),
        message: "alice wants the node's link".to_owned(),
        ..event(job, "london-01", start, 1, phase)
    }
}

async fn run(testbed: &Testbed, job: &str, start: DateTime<Utc>) -> v1::Run {
    testbed.run(&run_id(job, "london-01", start)).await.run.unwrap()
}

fn scavenger(on: bool) -> v1::SetScavengerRequest {
    v1::SetScavengerRequest { name: "london-01".to_owned(), on, ..Default::default() }
}

#[tokio::test]
async fn scavenger_mode_reaches_the_node_survives_a_crash_and_is_taken_back() {
    let mut testbed = Testbed::with_jobs().await;
    let until = Some(timestamp(instant("2100-01-01T00:00:00Z")));
    let request = v1::SetScavengerRequest { reason: "a call".to_owned(), until, ..scavenger(true) };
    let node = testbed.ask("alice").set_scavenger(request).await.unwrap().into_inner().node.unwrap();
    let shown = node.scavenging.unwrap();
    assert_eq!((shown.actor.as_str(), shown.reason.as_str(), shown.until), ("alice", "a call", until));
    assert_eq!(node.cordon, None, "it is no cordon");
    assert_eq!(told(&testbed).await.scavenging, Some(shown.clone()));
    testbed.crash_and_serve().await;
    assert_eq!(told(&testbed).await.scavenging, Some(shown));
    // Renewed, and ended early.
    let renewed = testbed.ask("alice").set_scavenger(scavenger(true)).await.unwrap().into_inner();
    assert_eq!(renewed.node.unwrap().scavenging.unwrap().until, None);
    for _ in 0..2 {
        let node = testbed.ask("alice").set_scavenger(scavenger(false)).await.unwrap().into_inner();
        assert_eq!(node.node.unwrap().scavenging, None);
    }
    assert_eq!(told(&testbed).await.scavenging, None);
}

#[tokio::test]
async fn a_run_moves_once_however_often_that_is_reported_and_whatever_crashes() {
    let mut testbed = Testbed::with_jobs().await;
    once(&testbed, "survey", false, NOON);
    testbed.push("a survey").await;
    let report = made_room("survey", instant(AT), Phase::Aborted);
    let before = Utc::now();
    assert_eq!(testbed.report("london-01", vec![report.clone()]).await, 1);
    let moved = run(&testbed, "survey", instant(AT)).await;
    assert_eq!((moved.phase(), moved.reason()), (Phase::Rescheduled, Reason::Scavenger));
    let to = at(moved.moved_to);
    let after = Utc::now() + DELAY + TimeDelta::seconds(1);
    assert!(to >= before + DELAY && to <= after, "{to}");
    assert_eq!(to.timestamp_subsec_nanos(), 0, "a whole second");
    testbed.crash_and_serve().await;
    assert_eq!(testbed.report("london-01", vec![report.clone(), report]).await, 2);
    assert_eq!(run(&testbed, "survey", instant(AT)).await.moved_to, moved.moved_to);
    let moves = told(&testbed).await.moves;
    let expected = v1::Move { job: "survey".to_owned(), at: moved.scheduled_at, to: moved.moved_to };
    assert_eq!(moves, [expected]);

    let request = v1::ListOccurrencesRequest {
        node: "london-01".to_owned(),
        from: Some(timestamp(before)),
        to: Some(timestamp(before + TimeDelta::hours(2))),
        ..Default::default()
    };
    let listed = testbed.ask("dave").list_occurrences(request).await.unwrap().into_inner().occurrences;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].start, listed[0].moved_from), (moved.moved_to, moved.scheduled_at));

    // It is over, and so is its reservation.
    testbed.report("london-01", whole_run("survey", "london-01", to)).await;
    assert_eq!(told(&testbed).await.moves, []);
}

#[tokio::test]
async fn a_moved_run_that_has_to_make_room_again_moves_again() {
    let testbed = Testbed::with_jobs().await;
    once(&testbed, "survey", false, NOON);
    testbed.push("a survey").await;
    testbed.report("london-01", vec![made_room("survey", instant(AT), Phase::Aborted)]).await;
    let first = at(run(&testbed, "survey", instant(AT)).await.moved_to);
    // Its own time is no obstacle.
    testbed.report("london-01", vec![made_room("survey", first, Phase::Skipped)]).await;
    let again = run(&testbed, "survey", first).await;
    assert_eq!(again.phase(), Phase::Rescheduled);
    let second = at(again.moved_to);
    assert!(second >= first && second <= Utc::now() + DELAY + TimeDelta::seconds(1), "{first} {second}");
    assert_eq!(told(&testbed).await.moves.len(), 1);
}

#[tokio::test]
async fn a_run_moves_to_where_nothing_is_on_any_of_its_nodes() {
    let testbed = Testbed::with_jobs().await;
    let start = instant(&(Utc::now() + DELAY).format("%Y-%m-%dT%H:%M:%SZ").to_string());
    // Of its server's node alone.
    let taken = format!("{{ at: {}, length: 1h }}", start.format("%Y-%m-%dT%H:%M:%SZ"));
    exclusive(&testbed, "block", &manifest::job("block", "carol", "paris-01", &taken));
    once(&testbed, "one", true, NOON);
    once(&testbed, "two", true, "{ at: 2030-01-01T13:00:00Z, length: 10m }");
    testbed.push("what runs").await;
    testbed.report("london-01", vec![made_room("one", instant(AT), Phase::Aborted)]).await;
    let guard = TimeDelta::seconds(5);
    let one = at(run(&testbed, "one", instant(AT)).await.moved_to);
    assert_eq!(one, start + TimeDelta::hours(1) + guard);
    // The next one cannot have that time.
    let second = instant("2030-01-01T13:00:00Z");
    testbed.report("london-01", vec![made_room("two", second, Phase::Skipped)]).await;
    assert_eq!(at(run(&testbed, "two", second).await.moved_to), one + TimeDelta::minutes(10) + guard);
}

#[tokio::test]
async fn what_recurs_and_what_is_not_declared_so_any_more_stays_as_it_was_reported() {
    let testbed = Testbed::with_jobs().await;
    once(&testbed, "survey", false, NOON);
    exclusive(
        &testbed,
        "often",
        &manifest::job("often", "bob", "london-01", manifest::DAILY).replace("0 12", "0 18"),
    );
    testbed.push("what runs").await;
    let evening = instant("2030-01-01T18:00:00Z");
    let elsewhere = instant("2030-01-01T12:00:01Z");
    let shared = instant("2030-01-01T13:00:00Z");
    let reports = vec![
        made_room("often", evening, Phase::Aborted),
        // Of an `at` that it had before.
        made_room("survey", elsewhere, Phase::Aborted),
        made_room("ping", shared, Phase::Skipped),
        v1::RunEvent { reason: Reason::Cancelled.into(), ..made_room("survey", instant(AT), Phase::Aborted) },
    ];
    testbed.report("london-01", reports).await;
    for (job, start, end) in [
        ("often", evening, (Phase::Aborted, Reason::Scavenger)),
        ("survey", elsewhere, (Phase::Aborted, Reason::Scavenger)),
        ("ping", shared, (Phase::Skipped, Reason::Scavenger)),
        ("survey", instant(AT), (Phase::Aborted, Reason::Cancelled)),
    ] {
        let run = run(&testbed, job, start).await;
        assert_eq!((run.phase(), run.reason(), run.moved_to), (end.0, end.1, None), "{job}");
    }
    assert_eq!(told(&testbed).await.moves, []);
}

#[tokio::test]
async fn without_a_free_time_before_its_end_a_run_is_aborted() {
    let testbed = Testbed::with_jobs().await;
    // Maintenance has the node for as long as the job may run.
    let end = (Utc::now() + TimeDelta::hours(3)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let start = Utc::now() + TimeDelta::minutes(1);
    let start = instant(&start.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let schedule = format!("{{ at: {}, end: {end}, length: 10m }}", start.format("%Y-%m-%dT%H:%M:%SZ"));
    once(&testbed, "survey", false, &schedule);
    let block = (Utc::now() + TimeDelta::minutes(20)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    exclusive(
        &testbed,
        "block",
        &manifest::job("block", "carol", "london-01", &format!("{{ at: {block}, length: 12h }}")),
    );
    testbed.push("what runs").await;
    testbed.report("london-01", vec![made_room("survey", start, Phase::Aborted)]).await;
    let run = run(&testbed, "survey", start).await;
    assert_eq!((run.phase(), run.reason(), run.moved_to), (Phase::Aborted, Reason::NoSlot, None));
    assert!(run.message.contains("no time is free for it from"), "{}", run.message);
    assert!(run.message.contains(&format!("to {end}")), "{}", run.message);
    assert_eq!(told(&testbed).await.moves, []);
}

#[tokio::test]
async fn a_moved_time_is_given_back_when_the_job_is_another_one() {
    let testbed = Testbed::with_jobs().await;
    for (name, change) in [("removed", None), ("later", Some("{ at: 2030-02-01T12:00:00Z, length: 10m }"))] {
        once(&testbed, name, false, NOON);
        testbed.push("a survey").await;
        testbed.report("london-01", vec![made_room(name, instant(AT), Phase::Aborted)]).await;
        assert_eq!(told(&testbed).await.moves.len(), 1);
        // Whatever else of it changes, it stays.
        let job = manifest::job(name, "bob", "london-01", NOON).replace("probe:1", "probe:2");
        exclusive(&testbed, name, &job);
        testbed.push("another image").await;
        assert_eq!(told(&testbed).await.moves.len(), 1);
        match change {
            Some(schedule) => once(&testbed, name, false, schedule),
            None => testbed.repository.remove(&format!("jobs/{name}.yaml")),
        }
        testbed.push("it is another one").await;
        testbed
            .wait_for("its time to be given back", async || {
                told(&testbed).await.moves.is_empty().then_some(())
            })
            .await;
    }
}
