//! What agents report, and how it is found again.

use almanac_proto::{
    convert::timestamp,
    limits,
    v1::{self, Phase},
};
use chrono::{DateTime, TimeDelta, Utc};
use tonic::Code;

use crate::harness::{Testbed, event, instant, manifest, run_id, whole_run};

fn noon() -> DateTime<Utc> {
    instant("2030-01-01T12:00:00Z")
}

async fn list(testbed: &Testbed, who: &str, request: v1::ListRunsRequest) -> Vec<v1::Run> {
    testbed.ask(who).list_runs(request).await.unwrap().into_inner().runs
}

#[tokio::test]
async fn a_run_is_what_its_reports_add_up_to_in_whatever_order_they_come() {
    let testbed = Testbed::with_jobs().await;
    let steps = whole_run("ping", "london-01", noon());
    let id = run_id("ping", "london-01", noon());
    assert_eq!(testbed.report("london-01", vec![steps[2].clone(), steps[0].clone()]).await, 2);
    assert_eq!(testbed.run(&id).await.run.unwrap().phase(), Phase::Uploading);
    assert_eq!(testbed.report("london-01", vec![steps[3].clone()]).await, 1);
    assert_eq!(testbed.run(&id).await.run.unwrap().phase(), Phase::Completed);
    assert_eq!(testbed.report("london-01", vec![steps[1].clone()]).await, 1);

    let found = testbed.run(&id).await;
    let run = found.run.unwrap();
    assert_eq!((run.job.as_str(), run.node.as_str(), run.owner.as_str()), ("ping", "london-01", "bob"));
    assert_eq!(
        (run.phase(), run.reason(), run.role()),
        (Phase::Completed, v1::Reason::ExitCode, v1::Role::Client)
    );
    assert_eq!((run.exit_code, run.image_digest.as_str()), (Some(0), "sha256:0123"));
    assert_eq!((run.message.as_str(), run.commit.as_str()), ("step 4", "c0ffee"));
    assert_eq!(run.scheduled_at, Some(timestamp(noon())));
    assert_eq!(run.started_at, steps[1].at);
    assert_eq!(run.ended_at, steps[2].at);
    let sequences: Vec<_> = found.steps.iter().map(|step| (step.sequence, step.phase())).collect();
    let phases = [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Completed];
    assert!(sequences.into_iter().eq((1..).zip(phases)));
}

#[tokio::test]
async fn a_run_that_ended_does_not_become_missed_when_its_agent_loses_its_journal() {
    let testbed = Testbed::with_jobs().await;
    let steps = whole_run("ping", "london-01", noon());
    let id = run_id("ping", "london-01", noon());
    let mut missed = steps[3].clone();
    missed.sequence = 1_000_001;
    missed.set_phase(Phase::Missed);
    missed.set_reason(v1::Reason::NodeOffline);
    // Where nothing is known, it counts; and what comes late counts more.
    assert_eq!(testbed.report("london-01", vec![missed.clone()]).await, 1);
    assert_eq!(testbed.run(&id).await.run.unwrap().phase(), Phase::Missed);
    testbed.report("london-01", steps.clone()).await;
    assert_eq!(testbed.run(&id).await.run.unwrap().phase(), Phase::Completed);

    let noon = noon() + TimeDelta::hours(1);
    let id = run_id("ping", "london-01", noon);
    testbed.report("london-01", whole_run("ping", "london-01", noon)).await;
    let before = testbed.run(&id).await;
    missed.run_id.clone_from(&id);
    missed.scheduled_at = Some(timestamp(noon));
    assert_eq!(testbed.report("london-01", vec![missed]).await, 1, "it is taken, and told no more");
    assert_eq!(testbed.run(&id).await, before);
}

#[tokio::test]
async fn a_report_counts_once_however_often_it_is_sent() {
    let mut testbed = Testbed::with_jobs().await;
    let steps = whole_run("ping", "london-01", noon());
    let id = run_id("ping", "london-01", noon());
    testbed.report("london-01", steps.clone()).await;
    let before = testbed.run(&id).await;
    // The same again, after a restart, together with others, and with another content.
    let mut again = steps.clone();
    again[3].message = "changed".to_owned();
    assert_eq!(testbed.report("london-01", again).await, 4);
    testbed.crash_and_serve().await;
    let next = noon() + TimeDelta::hours(1);
    let mixed = [steps, whole_run("ping", "london-01", next)].concat();
    assert_eq!(testbed.report("london-01", mixed).await, 8);
    assert_eq!(testbed.run(&id).await, before);
    assert_eq!(list(&testbed, "alice", v1::ListRunsRequest::default()).await.len(), 2);
}

#[tokio::test]
async fn a_large_batch_is_accepted_and_a_larger_one_refused() {
    let testbed = Testbed::with_jobs().await;
    let hours = (0..limits::MAX_EVENTS as i64).map(|hour| noon() + TimeDelta::hours(hour));
    let mut events: Vec<_> = hours.map(|at| event("ping", "london-01", at, 1, Phase::Missed)).collect();
    assert_eq!(testbed.report("london-01", events.clone()).await, 500);
    events.push(event("ping", "london-01", noon(), 2, Phase::Missed));
    let request = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
    let refused = testbed.agent("london-01").report_runs(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("500"), "{}", refused.message());
}

/// Refusing what can never be taken would stop everything behind it for ever.
#[tokio::test]
async fn a_report_of_a_run_that_cannot_be_is_dropped_and_stops_nothing() {
    let testbed = Testbed::with_jobs().await;
    let good = event("ping", "london-01", noon(), 1, Phase::Skipped);
    let wrong_id =
        v1::RunEvent { run_id: run_id("ping", "london-01", noon() + TimeDelta::hours(1)), ..good.clone() };
    let no_id = v1::RunEvent { run_id: "nonsense".to_owned(), ..good.clone() };
    let no_phase = v1::RunEvent { phase: 0, sequence: 2, ..good.clone() };
    let no_time = v1::RunEvent { at: None, sequence: 3, ..good.clone() };
    let no_sequence = v1::RunEvent { sequence: 0, ..good.clone() };
    let no_job = event("never", "london-01", noon(), 1, Phase::Skipped);
    // Another node's: of the other node by its id, and of a job that never ran here.
    let others = event("trace", "paris-01", noon(), 1, Phase::Skipped);
    let stranger = event("trace", "london-01", noon(), 1, Phase::Skipped);
    let all = vec![wrong_id, no_id, no_phase, no_time, no_sequence, no_job, others, stranger, good];
    assert_eq!(testbed.report("london-01", all).await, 9);
    let runs = list(&testbed, "alice", v1::ListRunsRequest::default()).await;
    let ids: Vec<_> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, [run_id("ping", "london-01", noon())]);
    assert_eq!(testbed.run(ids[0]).await.steps.len(), 1);
    let warnings =
        testbed.log().lines().filter(|line| line.contains("WARN") && line.contains("dropped")).count();
    assert_eq!(warnings, 8);
}

#[tokio::test]
async fn both_sides_of_a_pair_are_shown_each_with_its_steps() {
    let testbed = Testbed::with_jobs().await;
    let job = manifest::served_job("iperf", "bob", "london-01", "paris-01", manifest::DAILY);
    testbed.repository.write("jobs/iperf.yaml", job);
    testbed.push("a pair").await;
    let server = [(1, Phase::Deploying), (2, Phase::Running), (3, Phase::Failed)].map(|(sequence, phase)| {
        let event = event("iperf", "london-01", noon(), sequence, phase);
        v1::RunEvent { role: v1::Role::Server.into(), client: "london-01".to_owned(), ..event }
    });
    testbed.report("paris-01", server.to_vec()).await;
    let id = run_id("iperf", "london-01", noon());
    let told = |run: &v1::Run| (run.node.clone(), run.steps.len());
    let alone = testbed.run(&id).await;
    assert_eq!(alone.parts.iter().map(told).collect::<Vec<_>>(), [("paris-01".to_owned(), 3)]);
    assert_eq!(alone.steps, alone.parts[0].steps);

    testbed.report("london-01", whole_run("iperf", "london-01", noon())).await;
    let pair = testbed.run(&id).await;
    let parts: Vec<_> = pair.parts.iter().map(told).collect();
    assert_eq!(parts, [("london-01".to_owned(), 4), ("paris-01".to_owned(), 3)]);
    assert_eq!(pair.parts[1].steps, alone.steps);
    let first = pair.run.unwrap();
    assert_eq!((first.node.as_str(), first.steps.len(), pair.steps.len()), ("london-01", 0, 4));
    // Each node sees its own side.
    for (node, steps) in [("london-01", 4), ("paris-01", 3)] {
        let request = v1::GetRunRequest { id: id.clone() };
        let seen = testbed.ask(node).get_run(request).await.unwrap().into_inner();
        assert_eq!(seen.parts.iter().map(told).collect::<Vec<_>>(), [(node.to_owned(), steps)]);
    }
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_of_its_id() {
    let testbed = Testbed::with_jobs().await;
    let mut events = vec![];
    for hour in 0..500 {
        events.push(event("ping", "london-01", noon() + TimeDelta::hours(hour), 1, Phase::Missed));
    }
    testbed.report("london-01", events.clone()).await;
    let get = async |who: &str, id: &str| {
        testbed
            .ask(who)
            .get_run(v1::GetRunRequest { id: id.to_owned() })
            .await
            .map(|found| found.into_inner().run.unwrap())
    };
    let id = &events[0].run_id;
    for prefix in [&id[..], &id[..13], &id[..35], &id.to_uppercase()] {
        assert_eq!(get("alice", prefix).await.unwrap().id, *id, "{prefix}");
    }
    // Ids follow from job, node and instant: among these 500, the same two always begin alike.
    let shared = events.iter().enumerate().find_map(|(at, event)| {
        let later = &events[at + 1..];
        later.iter().any(|other| other.run_id[..4] == event.run_id[..4]).then(|| event.run_id[..4].to_owned())
    });
    let refused = get("alice", &shared.expect("two that begin alike")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("several"), "{}", refused.message());
    for wrong in ["", "abc", "nothing", "%%%%", &format!("{id}0")] {
        assert_eq!(get("alice", wrong).await.unwrap_err().code(), Code::InvalidArgument, "{wrong}");
    }
    assert_eq!(get("alice", "ffffffff-ffff").await.unwrap_err().code(), Code::NotFound);
    // What one may not see is like what is not there.
    assert_eq!(get("carol", id).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn runs_are_listed_by_every_filter() {
    let testbed = Testbed::with_jobs().await;
    let hour = |hours| noon() + TimeDelta::hours(hours);
    let london = [
        whole_run("ping", "london-01", hour(0)),
        vec![event("ping", "london-01", hour(2), 1, Phase::Skipped)],
    ];
    testbed.report("london-01", london.concat()).await;
    testbed.report("paris-01", vec![event("trace", "paris-01", hour(1), 1, Phase::Failed)]).await;

    let nothing = v1::ListRunsRequest::default();
    let hours = async |who: &str, request: v1::ListRunsRequest| -> Vec<i64> {
        let runs = list(&testbed, who, request).await;
        runs.iter().map(|run| (run.scheduled_at.unwrap().seconds - noon().timestamp()) / 3600).collect()
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(hours("alice", nothing.clone()).await, [2, 1, 0]);
    assert_eq!(hours("bob", nothing.clone()).await, [2, 0]);
    assert_eq!(hours("carol", nothing.clone()).await, [1]);
    assert_eq!(hours("dave", nothing.clone()).await, [0; 0]);
    assert_eq!(hours("paris-01", nothing.clone()).await, [1]);
    assert_eq!(hours("alice", v1::ListRunsRequest { node: name("paris-01"), ..nothing.clone() }).await, [1]);
    assert_eq!(hours("bob", v1::ListRunsRequest { node: name("paris-01"), ..nothing.clone() }).await, [0; 0]);
    assert_eq!(hours("alice", v1::ListRunsRequest { job: name("ping"), ..nothing.clone() }).await, [2, 0]);
    assert_eq!(hours("alice", v1::ListRunsRequest { user: name("carol"), ..nothing.clone() }).await, [1]);
    let phases = |phases: &[Phase]| v1::ListRunsRequest {
        phases: phases.iter().map(|phase| i32::from(*phase)).collect(),
        ..nothing.clone()
    };
    assert_eq!(hours("alice", phases(&[Phase::Completed])).await, [0]);
    assert_eq!(hours("alice", phases(&[Phase::Failed, Phase::Skipped])).await, [2, 1]);
    assert_eq!(hours("alice", phases(&[Phase::Aborted])).await, [0; 0]);
    let since = v1::ListRunsRequest { since: Some(timestamp(hour(1))), ..nothing.clone() };
    assert_eq!(hours("alice", since.clone()).await, [2, 1]);
    let until = v1::ListRunsRequest { until: Some(timestamp(hour(2))), ..since };
    assert_eq!(hours("alice", until.clone()).await, [1]);
    let all = v1::ListRunsRequest { job: name("ping"), node: name("london-01"), user: name("bob"), ..until };
    assert_eq!(hours("alice", all).await, [0; 0]);
}

#[tokio::test]
async fn runs_are_paged_without_a_gap_or_a_repetition() {
    let testbed = Testbed::with_jobs().await;
    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    testbed.push("a job at the same instants").await;
    let at = |hour: i64| noon() + TimeDelta::hours(hour);
    let events = (0..7).flat_map(|hour| {
        ["ping", "dns"]
            .map(|job| event(job, "london-01", at(hour / 2), 1 + hour.cast_unsigned() % 2, Phase::Missed))
    });
    testbed.report("london-01", events.collect()).await;
    let whole = list(&testbed, "alice", v1::ListRunsRequest::default()).await;
    assert_eq!(whole.len(), 8);
    for page_size in 1..=9 {
        let mut seen = vec![];
        let mut request = v1::ListRunsRequest { page_size, ..Default::default() };
        loop {
            let page = testbed.ask("alice").list_runs(request.clone()).await.unwrap().into_inner();
            assert!(!page.runs.is_empty() && page.runs.len() <= page_size as usize);
            seen.extend(page.runs);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(seen, whole, "pages of {page_size}");
    }
    for page_token in ["nonsense", "00", "ffff"] {
        let request = v1::ListRunsRequest { page_token: page_token.to_owned(), ..Default::default() };
        assert_eq!(testbed.ask("alice").list_runs(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
