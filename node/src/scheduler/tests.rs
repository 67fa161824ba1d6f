use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use almanac_schemas::{JobSpec, Scavenging};

use crate::{desired::Version, disk::Disk, instructions::Instructions, moves::Move};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// A job with a schedule; `rest` is put into its manifest.
fn assignment(job: &str, schedule: &str, rest: &str) -> Assignment {
    let spec: JobSpec = serde_json::from_str(&format!(
        r#"{{"owner":"alice","nodes":["n"],"container":{{"image":"x"}},"schedule":{{{schedule}}}{rest}}}"#
    ))
    .unwrap();
    Assignment {
        job: job.parse().unwrap(),
        role: RunRole::Client,
        since: at(0),
        schedule: spec.schedule.resolve().unwrap(),
        spec: Arc::new(spec),
        clients: Vec::new(),
    }
}

/// Every 10 seconds, for a year.
fn every_ten(rest: &str) -> Assignment {
    let schedule =
        r#""cron":"*/10 * * * * *","end":"2028-01-01T00:00:00Z","length":"5s","startDeadline":"3s""#;
    assignment("often", &format!("{schedule}{rest}"), "")
}

fn desired(assignments: Vec<Assignment>) -> Desired {
    Desired {
        version: Version { epoch: "e".to_owned(), generation: 1 },
        commit: String::new(),
        valid_until: at(1_000_000),
        server_time: at(0),
        node: serde_json::from_str(r#"{"owner":"alice"}"#).unwrap(),
        network: String::new(),
        assignments,
    }
}

/// What a plan says, as instants relative to the base and words, and its next wake-up.
fn planned(
    desired: &Desired,
    accounts: &Accounts,
    operating_since: i64,
    now: i64,
) -> (Vec<(i64, String)>, Option<i64>) {
    let policy = Policy::default();
    let situation = Situation {
        node: &node(),
        desired,
        accounts,
        policy: &policy,
        said: &Said::default(),
        operating_since: at(operating_since),
        reserved: &[],
        lost_at: None,
        short: None,
        now: at(now),
    };
    said(&plan(&situation))
}

fn node() -> NodeName {
    "n".parse().unwrap()
}

fn said(plan: &Plan<'_>) -> (Vec<(i64, String)>, Option<i64>) {
    let seconds = |instant: DateTime<Utc>| (instant - at(0)).num_seconds();
    let decisions = plan.decisions.iter().map(|decision| {
        let verdict = match &decision.verdict {
            Verdict::Start { by, .. } => format!("start by {}", seconds(*by)),
            Verdict::Omit(omission) => format!("{} {}", omission.phase, omission.reason),
        };
        (seconds(decision.scheduled_at), verdict)
    });
    (decisions.collect(), plan.wake_at.map(seconds))
}

fn settled(seconds: i64) -> Accounts {
    Accounts::from([("often".parse().unwrap(), at(seconds))])
}

#[test]
fn what_is_due_in_a_moment_is_settled_and_the_next_instant_wakes() {
    let desired = desired(vec![every_ten("")]);
    let wake = |seconds: i64| Some(at(seconds) - SETTLED_AHEAD);
    let planned = |settled_at: i64, now: DateTime<Utc>| {
        let (accounts, policy) = (settled(settled_at), Policy::default());
        let situation = Situation {
            desired: &desired,
            accounts: &accounts,
            policy: &policy,
            said: &Said::default(),
            operating_since: at(0),
            reserved: &[],
            lost_at: None,
            short: None,
            node: &node(),
            now,
        };
        let plan = plan(&situation);
        (plan.decisions.iter().map(|decision| decision.scheduled_at).collect::<Vec<_>>(), plan.wake_at)
    };
    assert_eq!(planned(10, at(19)), (vec![], wake(20)));
    assert_eq!(planned(10, at(20) - SETTLED_AHEAD), (vec![at(20)], wake(30)));
    assert_eq!(planned(10, at(20)), (vec![at(20)], wake(30)));
    assert_eq!(planned(20, at(20)), (vec![], wake(30)));
}

#[test]
fn what_is_due_soon_is_made_ready_and_later_while_an_exclusive_run_goes_on() {
    let minutes = |rest: &str| {
        let schedule = r#""cron":"0 */5 * * * *","end":"2028-01-01T00:00:00Z","length":"30s""#;
        assignment("often", schedule, rest)
    };
    let upcoming = |desired: &Desired, now: i64| {
        let (accounts, policy) = (settled(0), Policy::default());
        let situation = Situation {
            node: &node(),
            desired,
            accounts: &accounts,
            policy: &policy,
            said: &Said::default(),
            operating_since: at(0),
            reserved: &[],
            lost_at: None,
            short: None,
            now: at(now),
        };
        let plan = plan(&situation);
        let soon: Vec<i64> =
            plan.upcoming.iter().map(|decision| (decision.scheduled_at - at(0)).num_seconds()).collect();
        (soon, plan.wake_at.map(|wake| (wake - at(0)).num_milliseconds()))
    };
    let mut bed = desired(vec![minutes("")]);
    assert_eq!(upcoming(&bed, 100), (vec![], Some(240_000)));
    assert_eq!(upcoming(&bed, 240), (vec![300], Some(299_800)));
    assert_eq!(
        upcoming(&bed, 0),
        (vec![], Some(290_000)),
        "one goes on for 30 s, and this is looked at when it is over"
    );
    bed.node.cordoned = true;
    assert_eq!(upcoming(&bed, 250), (vec![], Some(299_800)), "what would not run is not made ready");
}

#[test]
fn what_is_late_is_missed_and_says_whether_anybody_was_there() {
    let desired = desired(vec![every_ten("")]);
    let missed = |reason: &str| format!("MISSED {reason}");
    assert_eq!(
        planned(&desired, &settled(0), 15, 34).0,
        [(10, missed("node_offline")), (20, missed("late")), (30, missed("late"))]
    );
    assert_eq!(planned(&desired, &settled(20), 0, 33).0, [(30, "start by 33".to_owned())]);
}

#[test]
fn the_latest_missed_one_runs_if_it_is_asked_for_and_not_over() {
    let desired = desired(vec![every_ten(r#","onMissed":"latest""#)]);
    let (decisions, _) = planned(&desired, &settled(0), 34, 34);
    assert_eq!(decisions[2], (30, "start by 35".to_owned()));
    assert!(decisions[..2].iter().all(|(_, verdict)| verdict == "MISSED node_offline"));
    let (decisions, _) = planned(&desired, &settled(0), 35, 35);
    assert_eq!(decisions[2].1, "MISSED node_offline");
}

#[test]
fn a_job_is_not_accountable_for_instants_before_it_was_declared() {
    let mut job = every_ten("");
    job.since = at(25);
    let desired = desired(vec![job]);
    assert_eq!(planned(&desired, &Accounts::new(), 40, 40).0[0].0, 30);
    assert_eq!(planned(&desired, &settled(30), 40, 40).0, [(40, "start by 43".to_owned())]);
}

#[test]
fn what_cannot_or_must_not_run_is_skipped() {
    let schedule = r#""at":"2027-01-15T08:00:10Z","length":"5s""#;
    for (rest, reason) in [
        (r#","trigger":{"when":"nosuch > 1"}"#, "unsupported"),
        (r#","trigger":{"when":"true"}"#, "cordoned"),
        (r#","kernel":{}"#, "cordoned"),
        (r#","server":{"node":"m","container":{"image":"x"}}"#, "cordoned"),
        ("", "cordoned"),
    ] {
        let mut desired = desired(vec![assignment("once", schedule, rest)]);
        desired.node.cordoned = true;
        let (decisions, wake) = planned(&desired, &Accounts::new(), 0, 10);
        assert_eq!(decisions, [(10, format!("SKIPPED {reason}"))]);
        assert_eq!(wake, None);
    }
}

#[test]
fn a_run_may_begin_as_late_as_it_waits_for_its_trigger() {
    let schedule = r#""at":"2027-01-15T08:00:10Z","length":"60s","startDeadline":"3s""#;
    for (wait, by) in [("0s", 13), ("2s", 13), ("30s", 40), ("10m", 70)] {
        let trigger = format!(r#","trigger":{{"when":"host.load_1m > 1","wait":"{wait}"}}"#);
        let desired = desired(vec![assignment("once", schedule, &trigger)]);
        // Also where the agent comes late.
        for now in [10, by] {
            // At the end of its time there is nothing left to begin.
            let now = now.min(69);
            let decided = planned(&desired, &Accounts::new(), 0, now).0;
            assert_eq!(decided, [(10, format!("start by {by}"))], "{wait} at {now}");
        }
        let late = planned(&desired, &Accounts::new(), 0, by + 1).0;
        assert_eq!(late, [(10, "MISSED late".to_owned())], "{wait}");
    }
}

#[test]
fn the_part_of_a_server_has_no_schedule() {
    let mut job = every_ten("");
    job.role = RunRole::Server;
    assert_eq!(planned(&desired(vec![job]), &Accounts::new(), 0, 100), (vec![], None));
}

#[test]
fn nothing_is_settled_beyond_the_end_of_the_state() {
    let mut desired = desired(vec![every_ten("")]);
    desired.valid_until = at(20);
    assert_eq!(planned(&desired, &settled(0), 0, 100), (vec![(10, "MISSED late".to_owned())], None));
}

#[test]
fn a_long_outage_is_settled_in_parts() {
    let desired = desired(vec![every_ten("")]);
    let (decisions, wake) = planned(&desired, &Accounts::new(), 0, 9_000);
    assert_eq!(decisions.len(), MAX_DECISIONS);
    assert_eq!(wake, Some(9_000));
    let last = decisions[MAX_DECISIONS - 1].0;
    assert_eq!(planned(&desired, &settled(last), 0, 9_000).0[0].0, last + 10);
}

proptest! {
    /// Wake-ups at any instants, also of a clock that is set in both directions or of a host that slept, with
    /// restarts that forget everything but the accounts.
    #[test]
    fn each_occurrence_is_settled_once_and_in_order(
        pauses in proptest::collection::vec(-100_i64..200, 1..40),
        latest in any::<bool>(),
        bound in 0_i64..4_000,
    ) {
        let rest = if latest { r#","onMissed":"latest""# } else { "" };
        let mut other = every_ten("");
        other.job = "other".parse().unwrap();
        other.since = at(55);
        let mut desired = desired(vec![every_ten(rest), other]);
        desired.valid_until = at(bound);
        let (mut accounts, mut now, mut furthest) = (Accounts::new(), 0, -1_000);
        let mut seen = BTreeSet::new();
        let (node, policy) = (node(), Policy::default());
        for (index, pause) in pauses.into_iter().enumerate() {
            now += pause;
            furthest = now.max(furthest);
            let operating_since = if index % 3 == 0 { at(now) } else { at(now - pause) };
            let situation =
                Situation { node: &node, desired: &desired, accounts: &accounts, policy: &policy, said: &Said::default(), operating_since, reserved: &[], lost_at: None, short: None, now: at(now) };
            let plan = plan(&situation);
            let settled: Vec<_> = plan
                .decisions
                .iter()
                .map(|decision| (decision.assignment.job.clone(), decision.scheduled_at))
                .collect();
            for decision in &plan.decisions {
                if let Verdict::Start { by, .. } = &decision.verdict {
                    prop_assert!(at(now) <= *by && at(now) < decision.scheduled_at + TimeDelta::seconds(5));
                }
            }
            prop_assert!(plan.wake_at.is_none_or(|wake| wake > at(now)));
            for (job, instant) in settled {
                prop_assert!(accounts.get(&job).is_none_or(|before| *before < instant), "in order");
                accounts.insert(job.clone(), instant);
                prop_assert!(seen.insert((job, instant)), "once");
            }
        }
        let count = |since: i64| (since..=furthest).filter(|second| second % 10 == 0 && *second < bound).count();
        prop_assert_eq!(seen.len(), count(0) + count(55), "all");
    }
}

#[test]
fn what_the_host_forbids_is_recorded_and_what_it_narrows_starts() {
    let policy: Policy = toml::from_str(
        "pids = 7\nregistries = [\"docker.io\"]\nquiet-hours = [{ cron = \"0 8 15 1 *\", length = \"15s\" }]",
    )
    .unwrap();
    let mut elsewhere = assignment("elsewhere", r#""at":"2027-01-15T08:00:20Z","length":"5s""#, "");
    let spec = Arc::make_mut(&mut elsewhere.spec);
    spec.container.image = "registry.example.org/x".parse().unwrap();
    let desired = desired(vec![every_ten(""), elsewhere]);
    let (accounts, now) = (settled(0), at(20));
    let situation = Situation {
        node: &node(),
        desired: &desired,
        accounts: &accounts,
        policy: &policy,
        said: &Said::default(),
        operating_since: at(0),
        reserved: &[],
        lost_at: None,
        short: None,
        now,
    };
    let plan = plan(&situation);
    let said: Vec<String> = plan.decisions.iter().map(|decision| format!("{:?}", decision.verdict)).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("ForbiddenByHost") && said[0].contains("2027-01-15T08:00:15Z"), "{}", said[0]);
    assert!(said[1].contains("Start") && said[1].contains("pids: Some(7)"), "{}", said[1]);
    assert!(said[2].contains("Skipped") && said[2].contains("registry.example.org/x"), "{}", said[2]);
}

/// Exclusive, at each second that `cron` names.
fn exclusive(job: &str, cron: &str, length: i64) -> Assignment {
    let schedule = format!(
        r#""cron":"{cron} * * * * *","end":"2028-01-01T00:00:00Z","length":"{length}s","startDeadline":"30s""#
    );
    assignment(job, &schedule, "")
}

fn situation<'a>(
    node: &'a NodeName,
    desired: &'a Desired,
    accounts: &'a Accounts,
    policy: &'a Policy,
    now: i64,
) -> Situation<'a> {
    const NOTHING: &Said = &Said {
        there: Instructions { cordon: None, cancellations: Vec::new(), scavenging: None, moves: Vec::new() },
        here: None,
        scavenging_here: None,
    };
    let (said, operating_since, reserved, lost_at, short) = (NOTHING, at(0), [].as_slice(), None, None);
    Situation {
        node,
        desired,
        accounts,
        policy,
        said,
        operating_since,
        reserved,
        lost_at,
        short,
        now: at(now),
    }
}

#[test]
fn an_exclusive_run_does_not_start_while_another_has_the_node() {
    let mut bed = desired(vec![exclusive("b", "20", 5), exclusive("a", "22", 5)]);
    let (node, accounts, policy) = (node(), Accounts::new(), Policy::default());
    let now = 22;
    let all = situation(&node, &bed, &accounts, &policy, now);
    let started = (20, "start by 25".to_owned());
    let busy = |at: i64| (at, "MISSED busy".to_owned());
    assert_eq!(said(&plan(&all)).0, [started.clone(), busy(22)], "the earlier one has the node");
    let time = |start, end| {
        [Reservation { job: "c".parse().unwrap(), time: Occurrence { start: at(start), end: at(end) } }]
    };
    let touching = time(15, 20);
    assert_eq!(said(&plan(&Situation { reserved: &touching, ..all })).0[0], started);
    let going = time(15, 21);
    assert_eq!(
        said(&plan(&Situation { reserved: &going, ..all })).0,
        [busy(20), (22, "start by 27".to_owned())],
        "what does not run hinders nobody"
    );
    for part in &mut bed.assignments {
        Arc::make_mut(&mut part.spec).exclusive = false;
    }
    let free = Situation { reserved: &going, ..situation(&node, &bed, &accounts, &policy, now) };
    assert!(said(&plan(&free)).0.iter().all(|(_, verdict)| verdict.starts_with("start")));
}

#[test]
fn what_a_lost_journal_knew_of_does_not_start() {
    let bed = desired(vec![every_ten("")]);
    let (node, accounts, policy) = (node(), settled(0), Policy::default());
    let lost = Situation { lost_at: Some(at(20)), ..situation(&node, &bed, &accounts, &policy, 21) };
    let offline = |at: i64| (at, "MISSED node_offline".to_owned());
    assert_eq!(said(&plan(&lost)).0, [offline(10), offline(20)]);
    let later = Situation { now: at(30), ..lost };
    assert_eq!(said(&plan(&later)).0[2], (30, "start by 33".to_owned()));
}

#[test]
fn the_start_deadline_counts_from_the_jittered_begin() {
    let job = assignment(
        "often",
        r#""cron":"0 * * * * *","end":"2028-01-01T00:00:00Z","length":"40s","jitter":"30s","startDeadline":"3s""#,
        "",
    );
    let bed = desired(vec![job]);
    let node = node();
    let offset =
        RunId::new(&"often".parse().unwrap(), &node, at(60)).offset(almanac_schemas::Duration::from_secs(30));
    assert!(offset > TimeDelta::seconds(4), "another deadline: {offset}");
    let (accounts, policy) = (settled(0), Policy::default());
    let start = |now: DateTime<Utc>| {
        let situation = Situation { now, ..situation(&node, &bed, &accounts, &policy, 0) };
        plan(&situation).decisions.remove(0).verdict
    };
    let by = at(60) + offset + TimeDelta::seconds(3);
    for now in [at(60), by] {
        assert!(matches!(start(now), Verdict::Start { by: last, .. } if last == by));
    }
    assert!(matches!(start(by + STEP), Verdict::Omit(Omission { reason: Reason::Late, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Commits come at any instant, with any schedules; runs end by themselves, or at the end of their length.
    #[test]
    fn no_two_exclusive_runs_overlap_whatever_is_declared(
        jobs in proptest::collection::vec(("[a-d]", 1_i64..30, 1_i64..60, any::<bool>()), 1..12),
        steps in proptest::collection::vec((0_i64..20, proptest::collection::vec(0_usize..12, 0..5), any::<bool>()), 1..30),
    ) {
        let jobs: Vec<Assignment> = jobs
            .iter()
            .map(|(name, every, length, latest)| {
                let mut job = exclusive(name, &format!("*/{every}"), *length);
                let schedule = &mut Arc::make_mut(&mut job.spec).schedule;
                schedule.on_missed = if *latest { OnMissed::Latest } else { OnMissed::Skip };
                job
            })
            .collect();
        let (node, policy) = (node(), Policy::default());
        let (mut accounts, mut now, mut going) = (Accounts::new(), 0, Vec::<Reservation>::new());
        for (pause, declared, ends) in steps {
            now += pause;
            going.retain(|run| run.time.end > at(now));
            if ends {
                going.pop();
            }
            let mut named = BTreeMap::new();
            for job in declared.iter().filter_map(|index| jobs.get(*index)) {
                named.insert(job.job.clone(), job.clone());
            }
            let bed = desired(named.into_values().collect());
            let now = Situation { reserved: &going, ..situation(&node, &bed, &accounts, &policy, now) };
            let (mut started, mut settled) = (going.clone(), Accounts::new());
            for decision in plan(&now).decisions {
                let (job, start) = (decision.assignment.job.clone(), decision.scheduled_at);
                settled.insert(job.clone(), start);
                if let Verdict::Start { .. } = decision.verdict {
                    let time = Occurrence { start, end: start + decision.assignment.schedule.length };
                    prop_assert!(started.iter().all(|other| !other.time.intersects(&time)), "{job} at {start}");
                    started.push(Reservation { job, time });
                }
            }
            going = started;
            accounts.extend(settled);
        }
    }
}

/// Who wants the link until some second.
fn scavenging(until: i64) -> Said {
    let scavenging = Scavenging {
        actor: "alice".to_owned(),
        reason: String::new(),
        since: Instant(at(0)),
        until: Some(Instant(at(until))),
    };
    Said { scavenging_here: Some(scavenging), ..Said::default() }
}

#[test]
fn only_what_would_start_makes_room_for_the_owner_of_the_node() {
    let shared =
        assignment("shared", r#""at":"2027-01-15T08:00:20Z","length":"5s""#, r#","exclusive":false"#);
    let bed = desired(vec![every_ten(""), shared]);
    let (node, accounts, policy) = (node(), Accounts::new(), Policy::default());
    let scavenged = scavenging(30);
    let now = |now| Situation { said: &scavenged, ..situation(&node, &bed, &accounts, &policy, now) };
    let (decisions, _) = said(&plan(&now(20)));
    let skipped = |at: i64| (at, "SKIPPED scavenger".to_owned());
    let missed = |at: i64| (at, "MISSED late".to_owned());
    // That the link was wanted then is not why the earlier ones did not run.
    let expected = [missed(0), missed(10), skipped(20), (20, "start by 25".to_owned())];
    assert_eq!(decisions, expected);
    let plan = plan(&now(20));
    assert!(
        plan.upcoming.iter().all(|next| next.scheduled_at != at(20)),
        "what will not start is not made ready"
    );
    let (decisions, _) = said(&super::plan(&now(30)));
    assert_eq!(
        decisions.iter().find(|(at, _)| *at == 30).unwrap().1,
        "start by 33",
        "it has ended by itself"
    );
}

/// A job that runs once, after 20 seconds.
fn once() -> Assignment {
    assignment("once", r#""at":"2027-01-15T08:00:20Z","length":"5s","startDeadline":"3s""#, "")
}

fn moved(to: &[i64]) -> Said {
    let run = |to: &i64| Move { job: "once".parse().unwrap(), at: Instant(at(20)), to: Instant(at(*to)) };
    let there = Instructions { moves: to.iter().map(run).collect(), ..Instructions::default() };
    Said { there, ..Said::default() }
}

#[test]
fn a_moved_run_is_an_occurrence_of_its_own_and_comes_once() {
    let bed = desired(vec![once()]);
    let (node, policy) = (node(), Policy::default());
    let elsewhere = moved(&[50]);
    let at_instant = |accounts: &Accounts, now| {
        let situation = Situation { said: &elsewhere, ..situation(&node, &bed, accounts, &policy, now) };
        said(&plan(&situation))
    };
    let settled = |seconds| Accounts::from([("once".parse().unwrap(), at(seconds))]);
    let nothing = Vec::new();
    let (decisions, wake_at) = at_instant(&settled(20), 25);
    assert_eq!(decisions, nothing);
    assert!(wake_at.is_some_and(|wake_at| wake_at <= 50), "it wakes for it: {wake_at:?}");
    assert_eq!(at_instant(&settled(20), 50).0, [(50, "start by 53".to_owned())]);
    assert_eq!(at_instant(&settled(50), 50), (nothing, None));
    // Nobody was there: of the two instants, each is accounted for.
    let missed = |at: i64| (at, "MISSED late".to_owned());
    assert_eq!(at_instant(&Accounts::new(), 60).0, [missed(20), missed(50)]);
}

#[test]
fn a_moved_run_is_no_more_when_its_job_is_another_one() {
    let (node, accounts, policy) =
        (node(), Accounts::from([("once".parse().unwrap(), at(20))]), Policy::default());
    let elsewhere = moved(&[50]);
    let later = assignment("once", r#""at":"2027-01-15T08:00:40Z","length":"5s""#, "");
    let shared = assignment("once", r#""at":"2027-01-15T08:00:20Z","length":"5s""#, r#","exclusive":false"#);
    let server = Assignment { role: RunRole::Server, ..once() };
    let other = assignment("other", r#""at":"2027-01-15T08:00:20Z","length":"5s""#, "");
    for (assignment, expected) in [(later, vec![40]), (shared, vec![]), (server, vec![]), (other, vec![20])] {
        let bed = desired(vec![assignment]);
        let now = Situation { said: &elsewhere, ..situation(&node, &bed, &accounts, &policy, 50) };
        let instants: Vec<i64> = said(&plan(&now)).0.into_iter().map(|(at, _)| at).collect();
        assert_eq!(instants, expected);
    }
}

#[test]
fn nothing_starts_while_a_disk_is_short_and_what_was_missed_stays_missed() {
    let (node, accounts, policy) = (node(), settled(0), Policy::default());
    let bed = desired(vec![every_ten("")]);
    let disk =
        Disk { free: 1 << 20, total: 8 << 30, reserve: 1 << 30, has_runs: true, has_containers: false };
    let short = disk.shortage().unwrap();
    let now = Situation { short: Some(&short), ..situation(&node, &bed, &accounts, &policy, 25) };
    let reasons: Vec<_> = plan(&now)
        .decisions
        .iter()
        .map(|decision| match &decision.verdict {
            Verdict::Start { .. } => None,
            Verdict::Omit(omission) => Some((omission.phase, omission.reason)),
        })
        .collect();
    assert_eq!(reasons, [Some((Phase::Missed, Reason::Late)), Some((Phase::Missed, Reason::Late))]);
    let due = plan(&Situation { now: at(30), ..now });
    let Verdict::Omit(omission) = &due.decisions.last().unwrap().verdict else { panic!("{due:?}") };
    assert_eq!((omission.phase, omission.reason), (Phase::Skipped, Reason::ForbiddenByHost));
    assert_eq!(
        omission.message,
        "the host's disk has 1.0 MiB free, and 1.0 GiB are kept for the host (`disk-reserve`)"
    );
    assert!(plan(&Situation { now: at(15), ..now }).upcoming.is_empty(), "no image is pulled for it");
}
