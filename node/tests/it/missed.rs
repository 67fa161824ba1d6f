//! Instants at which nothing ran, and what is said of them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

const OFFLINE: Option<(Phase, Reason)> = Some((Phase::Missed, Reason::NodeOffline));
const LATE: Option<(Phase, Reason)> = Some((Phase::Missed, Reason::Late));
const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

fn seconds_ago(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp() - seconds, 0).unwrap()
}

#[test]
fn instants_before_the_declaration_are_neither_run_nor_recorded() {
    let mut world = World::new();
    let since = Utc::now() + TimeDelta::milliseconds(2500);
    world.declare([Job::every_second("tick").since(since), Job::once("past", seconds_ago(5))]);
    world.start();
    let runs = world.wait_ended("tick", 2);
    let first = runs[0].scheduled_at();
    assert!(
        first >= since && first < since + TimeDelta::seconds(1),
        "{first} is not the first since {since}"
    );
    assert!(world.reconciler.record().runs("past").is_empty());
}

#[test]
fn instants_that_passed_while_nobody_was_there_are_recorded_once_each() {
    let mut world = World::new();
    let since = seconds_ago(5);
    let job = Job::every_second("tick").since(since).start_deadline("1s").length("1s");
    world.declare([job]);
    world.start();
    let runs = world.wait_ended("tick", 7);
    for (index, run) in (0..).zip(&runs) {
        assert_eq!(run.scheduled_at(), since + TimeDelta::seconds(index), "each, and in order");
    }
    // The latest of them may still start in time.
    assert!(runs[..4].iter().all(|run| run.end() == OFFLINE && run.events.len() == 1), "{runs:#?}");
    assert!(!runs[0].last().message.is_empty());

    // Nothing of it is said twice by the next agent.
    world.kill();
    let told = world.arrivals().len();
    world.start();
    world.wait_ended("tick", 10);
    let again = world.arrivals()[told..].iter().any(|event| event.run_id == runs[0].key.0);
    assert!(!again);
}

#[test]
fn instants_between_two_agents_are_missed_too() {
    let mut world = World::new();
    world.declare([Job::every_second("tick").start_deadline("1s").length("1s")]);
    world.start();
    world.wait_ended("tick", 2);
    world.terminate();
    let down = Utc::now();
    world.wait("three seconds without an agent", |_| {
        (Utc::now() > down + TimeDelta::seconds(3)).then_some(())
    });
    let up = Utc::now();
    world.start();
    let gap = world.wait_told("the instants of the gap", |record| {
        let runs = record.runs("tick");
        let after = runs.iter().any(|run| run.scheduled_at() > up && run.end() == DONE);
        after.then_some(runs)
    });
    let whole: Vec<_> = gap
        .iter()
        .filter(|run| run.scheduled_at() > down && run.scheduled_at() < up - TimeDelta::seconds(1))
        .collect();
    assert!(!whole.is_empty(), "{gap:#?}");
    assert!(whole.iter().all(|run| run.end() == OFFLINE), "{whole:#?}");
    for pair in gap.windows(2) {
        assert_eq!(
            pair[1].scheduled_at() - pair[0].scheduled_at(),
            TimeDelta::seconds(1),
            "none is left out"
        );
    }
}

#[test]
fn a_run_may_start_until_its_deadline_and_not_after_it() {
    let mut world = World::new();
    let at = seconds_ago(3);
    world.declare([
        Job::once("patient", at).since(at).start_deadline("30s").sh("echo late but there"),
        Job::once("strict", at).since(at).start_deadline("1s"),
    ]);
    world.start();
    assert_eq!(world.wait_end("patient").end(), DONE);
    let strict = world.wait_end("strict");
    assert_eq!(strict.end(), OFFLINE);
    assert_eq!(strict.phases(), [Phase::Missed]);
}

#[test]
fn an_agent_that_was_there_and_too_late_says_late() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait_followed();
    let up = Utc::now();
    world.wait("two seconds", |_| (Utc::now() > up + TimeDelta::seconds(2)).then_some(()));
    let at = up + TimeDelta::milliseconds(100);
    world.declare([Job::once("strict", at).since(at).start_deadline("1s")]);
    let run = world.wait_end("strict");
    assert_eq!(run.end(), LATE);
    assert!(run.last().message.contains("1s"), "it names the deadline: {}", run.last().message);
}

#[test]
fn the_latest_missed_instant_runs_when_the_job_asks_for_it() {
    let mut world = World::new();
    let since = seconds_ago(4);
    let end = (since + TimeDelta::seconds(4)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let job = Job::every_second("tick")
        .since(since)
        .schedule("end", json!(end))
        .schedule("onMissed", json!("latest"))
        .start_deadline("1s")
        .length("1m");
    world.declare([job]);
    world.start();
    let runs = world.wait_ended("tick", 4);
    let ends: Vec<_> = runs.iter().map(|run| run.end()).collect();
    assert_eq!(ends, [OFFLINE, OFFLINE, OFFLINE, DONE]);
}

#[test]
fn a_long_outage_of_a_frequent_job_is_accounted_for_completely() {
    let mut world = World::new();
    let since = seconds_ago(3_600);
    let end = (since + TimeDelta::seconds(3_000)).to_rfc3339_opts(SecondsFormat::Secs, true);
    world.declare([Job::every_second("tick").since(since).schedule("end", json!(end))]);
    world.start();
    let runs = world.wait_ended("tick", 3_000);
    assert!(runs.iter().all(|run| run.end() == OFFLINE));
    let calls = world.reconciler.record().calls["report"];
    assert!(calls <= 30, "they go in batches, not in {calls} calls");
}
