use std::sync::Arc;

use chrono::TimeDelta;

use almanac_schemas::{Instant, JobSpec, RunRole, node::Limits};

use crate::desired::{Assignment, Version};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn job(rest: &str) -> JobSpec {
    let text = r#"{"owner":"alice","nodes":["n"],"container":{"image":"x"},
        "schedule":{"at":"2027-01-15T08:00:00Z","length":"1h"}"#;
    serde_json::from_str(&format!("{text}{rest}}}")).unwrap()
}

fn order(rest: &str) -> Order {
    Order {
        job: "often".parse().unwrap(),
        node: "n".parse().unwrap(),
        role: RunRole::Client,
        scheduled_at: Instant(at(0)),
        begin_at: None,
        start_by: Instant(at(30)),
        spec: job(rest),
        limits: Limits::default(),
        network: String::new(),
        commit: String::new(),
        peer: None,
    }
}

fn desired(jobs: &[&str]) -> Desired {
    let assignment = |name: &&str| Assignment {
        job: name.parse().unwrap(),
        role: RunRole::Client,
        since: at(0),
        schedule: job("").schedule.resolve().unwrap(),
        spec: Arc::new(job("")),
        clients: Vec::new(),
    };
    Desired {
        version: Version { epoch: "e".to_owned(), generation: 1 },
        commit: String::new(),
        valid_until: at(1_000_000),
        server_time: at(0),
        node: serde_json::from_str(r#"{"owner":"alice"}"#).unwrap(),
        network: String::new(),
        assignments: jobs.iter().map(assignment).collect(),
    }
}

fn cordon(until: Option<i64>, stop_at: Option<i64>) -> Cordon {
    Cordon {
        actor: "alice".to_owned(),
        reason: "new kernel".to_owned(),
        since: Instant(at(0)),
        until: until.map(|seconds| Instant(at(seconds))),
        stop_at: stop_at.map(|seconds| Instant(at(seconds))),
    }
}

fn there(cordon: Cordon) -> Said {
    Said { there: Instructions { cordon: Some(cordon), ..Instructions::default() }, ..Said::default() }
}

#[test]
fn a_cordon_holds_until_it_ends_by_itself_wherever_it_was_said() {
    for said in
        [there(cordon(Some(60), None)), Said { here: Some(cordon(Some(60), None)), ..Said::default() }]
    {
        assert_eq!(
            said.cordoned(at(59)).map(ToString::to_string).unwrap(),
            "alice cordoned the node: new kernel"
        );
        assert_eq!(said.cordoned(at(60)), None);
        assert_eq!(said.changes_at(at(0)), Some(at(60)));
        assert_eq!(said.changes_at(at(60)), None);
        assert_eq!(said.interruption(&order(""), Some(&desired(&[])), at(10)), None, "what runs goes on");
    }
    assert_eq!(Said::default().cordoned(at(0)), None);
    assert!(there(cordon(None, None)).cordoned(at(0) + TimeDelta::days(1000)).is_some());
    let both = Said { here: Some(cordon(None, None)), ..there(cordon(Some(60), None)) };
    assert!(both.cordoned(at(60)).is_some(), "the one that holds is found behind one that does not");
}

#[test]
fn a_drain_stops_what_runs_at_its_deadline() {
    let said = there(cordon(Some(100), Some(30)));
    let interruption = |seconds| said.interruption(&order(""), None, at(seconds));
    assert_eq!(interruption(29), None);
    assert_eq!(said.changes_at(at(0)), Some(at(30)));
    let stopped = interruption(30).unwrap();
    assert_eq!((stopped.reason, &*stopped.message), (Reason::Cordoned, "alice drained the node: new kernel"));
    assert_eq!(interruption(100), None, "it has ended by itself");
}

#[test]
fn a_cancelled_run_ends_and_no_other() {
    let run = order("").key().id;
    let cancelled = |run, reason: &str| {
        let cancellation = Cancellation { run, actor: "bob".to_owned(), reason: reason.to_owned() };
        Said {
            there: Instructions { cancellations: vec![cancellation], ..Instructions::default() },
            ..Said::default()
        }
    };
    let message = |said: Said| said.interruption(&order(""), None, at(1)).map(|stopped| stopped.message);
    assert_eq!(message(cancelled(run, "")).unwrap(), "bob cancelled it");
    assert_eq!(message(cancelled(run, "wrong host")).unwrap(), "bob cancelled it: wrong host");
    let other = RunId::new(&"often".parse().unwrap(), &"n".parse().unwrap(), at(1));
    assert_eq!(message(cancelled(other, "")), None);
}

#[test]
fn a_removed_job_ends_its_run_where_it_says_so() {
    let said = Said::default();
    let aborts = order(r#","onRemove":"abort""#);
    let reason = |order: &Order, desired: Option<Desired>| {
        said.interruption(order, desired.as_ref(), at(1)).map(|stopped| stopped.reason)
    };
    assert_eq!(reason(&aborts, Some(desired(&["other"]))), Some(Reason::Cancelled));
    assert_eq!(reason(&aborts, Some(desired(&["often"]))), None, "it is there");
    assert_eq!(reason(&aborts, None), None, "nobody knows");
    assert_eq!(reason(&order(""), Some(desired(&[]))), None, "it goes on to its end");
}

#[test]
fn what_the_reconciler_passes_on_is_read_or_refused_as_a_whole() {
    let stamp = |seconds| Some(convert::timestamp(at(seconds)));
    let mut message = v1::Instructions {
        cordon: Some(v1::Cordon {
            actor: "alice".to_owned(),
            reason: "new kernel".to_owned(),
            since: stamp(0),
            until: stamp(60),
            stop_at: None,
        }),
        cancellations: vec![v1::Cancellation {
            run_id: order("").key().id.to_string(),
            ..Default::default()
        }],
        scavenging: Some(v1::Scavenging {
            actor: "alice".to_owned(),
            reason: "a call".to_owned(),
            since: stamp(0),
            until: stamp(60),
        }),
        moves: vec![v1::Move { job: "once".to_owned(), at: stamp(5), to: stamp(500) }],
    };
    let read = Instructions::try_from(message.clone()).unwrap();
    assert_eq!(read.cordon, Some(cordon(Some(60), None)));
    assert_eq!(read.cancellations[0].run, order("").key().id);
    assert_eq!(read.scavenging, Some(scavenging(Some(60))));
    let moved = Move { job: "once".parse().unwrap(), at: Instant(at(5)), to: Instant(at(500)) };
    assert_eq!(read.moves, [moved]);
    message.moves[0].to = None;
    assert_eq!(Instructions::try_from(message.clone()).unwrap_err().field, "to");
    message.moves.clear();
    message.cancellations[0].run_id = "nonsense".to_owned();
    assert_eq!(Instructions::try_from(message).unwrap_err().field, "run_id");
}

fn scavenging(until: Option<i64>) -> Scavenging {
    Scavenging {
        actor: "alice".to_owned(),
        reason: "a call".to_owned(),
        since: Instant(at(0)),
        until: until.map(|seconds| Instant(at(seconds))),
    }
}

#[test]
fn exclusive_runs_end_while_somebody_wants_the_link_wherever_that_was_said() {
    let there = Instructions { scavenging: Some(scavenging(Some(60))), ..Instructions::default() };
    for said in [
        Said { there, ..Said::default() },
        Said { scavenging_here: Some(scavenging(Some(60))), ..Said::default() },
    ] {
        let reason = |rest, seconds| {
            said.interruption(&order(rest), None, at(seconds))
                .map(|stopped| (stopped.reason, stopped.message))
        };
        let stopped = (Reason::Scavenger, "alice wants the node's link: a call".to_owned());
        assert_eq!(reason("", 59), Some(stopped));
        assert_eq!(reason(r#","exclusive":false"#, 59), None, "it shares the node");
        assert_eq!(reason("", 60), None, "it has ended by itself");
        assert_eq!(said.changes_at(at(0)), Some(at(60)));
        assert_eq!(said.cordoned(at(0)), None, "it is no cordon");
    }
    let here = Some(scavenging(None));
    let there = Instructions { scavenging: Some(scavenging(Some(60))), ..Instructions::default() };
    let both = Said { there, scavenging_here: here, ..Said::default() };
    assert!(both.scavenging(at(60)).is_some(), "the one that holds is found behind one that does not");
}
