use std::sync::Arc;

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{JobSpec, node::Limits};

use crate::{
    desired::{Desired, Version},
    instructions::Said,
    policy::Policy,
    run::Peer,
    scheduler::{Accounts, Reservation},
};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// A job every 10 minutes whose server is here, of two clients.
fn server(job: &str, port: u16, exclusive: bool) -> Assignment {
    let spec: JobSpec = serde_json::from_str(&format!(
        r#"{{"owner": "alice", "nodes": ["a", "b"], "container": {{"image": "x"}}, "exclusive": {exclusive},
            "schedule": {{"cron": "*/10 * * * *", "end": "2028-01-01T00:00:00Z", "length": "2m"}},
            "server": {{"node": "n", "container": {{"image": "y", "ports": ["{port}/tcp"]}}}}}}"#
    ))
    .unwrap();
    Assignment {
        job: job.parse().unwrap(),
        role: RunRole::Server,
        since: at(-3600),
        schedule: spec.schedule.resolve().unwrap(),
        spec: Arc::new(spec),
        clients: vec!["a".parse().unwrap(), "b".parse().unwrap()],
    }
}

fn task(job: &str, client: &str, state: v1::TaskState) -> v1::Task {
    let (name, node) = (job.parse().unwrap(), client.parse().unwrap());
    v1::Task {
        run_id: RunId::new(&name, &node, at(0)).to_string(),
        job: job.to_owned(),
        client: client.to_owned(),
        server: "n".to_owned(),
        scheduled_at: Some(timestamp(at(0))),
        state: state.into(),
        message: "why".to_owned(),
        ..v1::Task::default()
    }
}

fn pairs(tasks: impl IntoIterator<Item = v1::Task>) -> Pairs {
    let mut pairs = Pairs::default();
    let peers = vec![v1::Peer { node: "m".to_owned(), address: "203.0.113.7".to_owned() }];
    assert!(pairs.hear(v1::Tasks { tasks: tasks.into_iter().collect(), peers }).is_empty());
    pairs
}

fn order(assignment: &Assignment, client: &str, seconds: i64) -> Order {
    Order {
        job: assignment.job.clone(),
        node: "n".parse().unwrap(),
        role: RunRole::Server,
        scheduled_at: Instant(at(seconds)),
        begin_at: None,
        start_by: Instant(at(seconds + 120)),
        spec: (*assignment.spec).clone(),
        limits: Limits::default(),
        network: String::new(),
        commit: String::new(),
        peer: Some(Peer { node: client.parse().unwrap(), address: String::new() }),
    }
}

/// The decisions as `JOB CLIENT WORD`, those that are made ready as `JOB CLIENT`, and when to look again.
fn planned(
    assignments: Vec<Assignment>,
    pairs: &Pairs,
    going: &[Order],
    change: impl FnOnce(&mut Desired),
    now: i64,
) -> (Vec<String>, Vec<String>, Option<i64>) {
    let mut desired = Desired {
        version: Version { epoch: "e".to_owned(), generation: 1 },
        commit: String::new(),
        valid_until: at(1_000_000),
        server_time: at(0),
        node: serde_json::from_str(r#"{"owner":"alice"}"#).unwrap(),
        network: String::new(),
        assignments,
    };
    change(&mut desired);
    let reserved: Vec<Reservation> = going.iter().filter_map(Order::reservation).collect();
    let situation = Situation {
        node: &"n".parse().unwrap(),
        desired: &desired,
        accounts: &Accounts::new(),
        policy: &Policy::default(),
        said: &Said::default(),
        operating_since: at(0),
        reserved: &reserved,
        lost_at: None,
        short: None,
        now: at(now),
    };
    let plan = plan(&situation, pairs, &Going::of(going.iter()));
    let name = |decision: &Decision<'_>| {
        format!("{} {}", decision.assignment.job, decision.client.as_ref().unwrap())
    };
    let decided = plan.decisions.iter().map(|decision| match &decision.verdict {
        Verdict::Start { by, .. } => format!("{} by {}", name(decision), (*by - at(0)).num_seconds()),
        Verdict::Omit(omission) => {
            format!("{} {}/{}: {}", name(decision), omission.phase, omission.reason, omission.message)
        }
    });
    let wake = plan.wake_at.map(|wake| (wake - at(0)).num_seconds());
    (decided.collect(), plan.upcoming.iter().map(name).collect(), wake)
}

fn unchanged(_: &mut Desired) {}

#[test]
fn servers_are_made_ready_ahead_for_each_client_and_for_as_long_as_it_may_come() {
    let job = || vec![server("iperf", 5201, true)];
    let none = pairs([]);
    let ready = || vec!["iperf a".to_owned(), "iperf b".to_owned()];
    assert_eq!(planned(job(), &none, &[], unchanged, -61), (vec![], vec![], Some(-60)));
    assert_eq!(planned(job(), &none, &[], unchanged, -60), (vec![], ready(), Some(30)));
    assert_eq!(planned(job(), &none, &[], unchanged, 29), (vec![], ready(), Some(30)));
    assert_eq!(planned(job(), &none, &[], unchanged, 31), (vec![], vec![], Some(540)));
    // Not for what would not start.
    assert_eq!(planned(job(), &none, &[], |desired| desired.node.cordoned = true, -1).1, [""; 0]);
    assert_eq!(planned(job(), &none, &[], |desired| desired.valid_until = at(0), -1).1, [""; 0]);
    // Nor before its port is free: a container that waits has it.
    let other = order(&server("other", 5201, false), "c", -60);
    assert_eq!(planned(job(), &none, &[other], unchanged, -1).1, [""; 0]);
}

#[test]
fn a_server_starts_on_the_word_of_its_client_once() {
    let job = || vec![server("iperf", 5201, true)];
    let wanted = pairs([task("iperf", "a", v1::TaskState::Requested)]);
    let (decided, upcoming, _) = planned(job(), &wanted, &[], unchanged, 0);
    assert_eq!((decided, upcoming), (vec!["iperf a by 120".to_owned()], vec!["iperf b".to_owned()]));
    // What runs is not started again, nor what was taken, nor what is over; its time is over at its end.
    let going = order(&server("iperf", 5201, true), "a", 0);
    assert_eq!(planned(job(), &wanted, &[going], unchanged, 0).0, [""; 0]);
    let mut taken = wanted.clone();
    taken.take(RunId::new(&"iperf".parse().unwrap(), &"a".parse().unwrap(), at(0)));
    assert_eq!(planned(job(), &taken, &[], unchanged, 0).0, [""; 0]);
    for state in [v1::TaskState::Released, v1::TaskState::Failed, v1::TaskState::Abandoned] {
        let (decided, upcoming, _) = planned(job(), &pairs([task("iperf", "a", state)]), &[], unchanged, 0);
        assert_eq!((decided, upcoming), (vec![], vec!["iperf b".to_owned()]), "{state:?}");
    }
    assert_eq!(planned(job(), &wanted, &[], unchanged, 120).0, [""; 0]);
    assert_eq!(planned(vec![], &wanted, &[], unchanged, 0).0, [""; 0], "its job may be on its way");
}

#[test]
fn what_keeps_a_server_from_starting_is_said() {
    let wanted = pairs([task("iperf", "a", v1::TaskState::Requested)]);
    let said = |job: Assignment, going: &[Order], change: fn(&mut Desired)| {
        planned(vec![job], &wanted, going, change, 1).0
    };
    let cordoned = said(server("iperf", 5201, true), &[], |desired| desired.node.cordoned = true);
    assert_eq!(cordoned, ["iperf a SKIPPED/cordoned: the node's manifest says `cordoned: true`"]);
    let shared = order(&server("other", 5201, false), "c", 0);
    assert_eq!(
        said(server("iperf", 5201, false), std::slice::from_ref(&shared), unchanged),
        ["iperf a FAILED/server_unavailable: port 5201/tcp of `n` is held by the server of `other`"]
    );
    assert_eq!(said(server("iperf", 5202, false), &[shared], unchanged), ["iperf a by 120"]);
    let exclusive = order(&server("other", 5202, true), "c", -60);
    assert_eq!(
        said(server("iperf", 5201, true), std::slice::from_ref(&exclusive), unchanged),
        ["iperf a MISSED/busy: a run of `other` had the node, which is its until 2027-01-15T08:01:00Z"]
    );
    assert_eq!(said(server("iperf", 5201, false), &[exclusive], unchanged), ["iperf a by 120"]);
    // The servers of one job have the node together, where they need no port of it.
    let mut without_ports = server("iperf", 5201, true);
    let mut spec = (*without_ports.spec).clone();
    spec.server.as_mut().unwrap().container.ports.clear();
    without_ports.spec = Arc::new(spec);
    let of_b = order(&without_ports, "b", 0);
    assert_eq!(said(without_ports, &[of_b], unchanged), ["iperf a by 120"]);
}

#[test]
fn a_server_is_told_to_end_by_its_task_alone() {
    let order = order(&server("iperf", 5201, true), "a", 0);
    let reason = |state| {
        let pairs = pairs([task("iperf", "a", state)]);
        pairs.interruption(&order).map(|interruption| interruption.reason)
    };
    assert_eq!(reason(v1::TaskState::Requested), None);
    assert_eq!(reason(v1::TaskState::Ready), None);
    assert_eq!(reason(v1::TaskState::Served), None);
    assert_eq!(reason(v1::TaskState::Released), Some(Reason::LengthReached));
    assert_eq!(reason(v1::TaskState::Failed), Some(Reason::ServerUnavailable));
    assert_eq!(reason(v1::TaskState::Abandoned), Some(Reason::NodeOffline));
    assert_eq!(
        pairs([]).interruption(&order),
        None,
        "a reconciler with another database knows nothing of it"
    );
    let client = Order { role: RunRole::Client, ..order };
    assert_eq!(pairs([task("iperf", "a", v1::TaskState::Released)]).interruption(&client), None);
}

#[test]
fn tasks_that_make_no_sense_are_passed_over() {
    let mut pairs = Pairs::default();
    let other = v1::Task { client: "b".to_owned(), ..task("iperf", "a", v1::TaskState::Requested) };
    let nobody = v1::Task { job: "No Job".to_owned(), ..other.clone() };
    let tasks = vec![other, nobody, task("iperf", "a", v1::TaskState::Requested)];
    assert_eq!(pairs.hear(v1::Tasks { tasks, peers: Vec::new() }).len(), 2);
    assert_eq!(pairs.wanted().count(), 1);
}
