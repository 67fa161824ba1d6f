//! Reports about runs, and who sees them.

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::RunId;
use chrono::{DateTime, TimeDelta, Utc};
use tonic::Code;

use crate::bed::{Bed, job, past};

/// An event of a run of a job on a node.
pub(crate) fn event(
    job: &str,
    node: &str,
    at: DateTime<Utc>,
    sequence: u64,
    phase: v1::Phase,
) -> v1::RunEvent {
    let id = RunId::new(&job.parse().unwrap(), &node.parse().unwrap(), at);
    v1::RunEvent {
        run_id: id.to_string(),
        job: job.to_owned(),
        role: v1::Role::Client.into(),
        scheduled_at: Some(timestamp(at)),
        sequence,
        phase: phase.into(),
        reason: if phase == v1::Phase::Completed { v1::Reason::ExitCode } else { v1::Reason::Unspecified }
            .into(),
        message: format!("step {sequence}"),
        at: Some(timestamp(at + TimeDelta::seconds(sequence.cast_signed()))),
        exit_code: (phase == v1::Phase::Completed).then_some(0),
        image_digest: String::new(),
        commit: "c".to_owned(),
    }
}

pub(crate) async fn report(bed: &Bed, node: &str, events: Vec<v1::RunEvent>) -> u32 {
    let request = v1::ReportRunsRequest { node: node.to_owned(), events };
    bed.connect(node).node().report_runs(request).await.unwrap().into_inner().accepted
}

pub(crate) async fn with_job() -> Bed {
    let bed = Bed::serving().await;
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.applied(&bed.commit("a job")).await;
    bed
}

async fn runs(bed: &Bed, who: &str) -> Vec<v1::Run> {
    let request = v1::ListRunsRequest::default();
    bed.connect(who).testbed().list_runs(request).await.unwrap().into_inner().runs
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_count_once_in_whatever_order_they_come() {
    use v1::Phase::{Completed, Deploying, Running, Uploading};
    let bed = with_job().await;
    let at = past();
    let step = |sequence, phase| event("ping", "london-01", at, sequence, phase);
    report(&bed, "london-01", vec![step(1, Deploying), step(4, Completed)]).await;
    report(&bed, "london-01", vec![step(2, Running)]).await;
    let all = vec![step(1, Deploying), step(2, Running), step(3, Uploading), step(4, Completed)];
    assert_eq!(report(&bed, "london-01", all).await, 4);

    let [run] = runs(&bed, "bob").await.try_into().unwrap();
    assert_eq!((run.phase(), run.reason(), run.exit_code), (Completed, v1::Reason::ExitCode, Some(0)));
    assert_eq!((run.owner.as_str(), run.message.as_str()), ("bob", "step 4"));
    assert_eq!(run.started_at, Some(timestamp(at + TimeDelta::seconds(2))));
    assert_eq!(run.ended_at, Some(timestamp(at + TimeDelta::seconds(3))));
    let prefix = run.id[..6].to_owned();
    let got =
        bed.connect("bob").testbed().get_run(v1::GetRunRequest { id: prefix }).await.unwrap().into_inner();
    let steps: Vec<_> = got.steps.iter().map(|step| (step.sequence, step.phase())).collect();
    assert_eq!(steps, [(1, Deploying), (2, Running), (3, Uploading), (4, Completed)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_runs_that_cannot_be_are_dropped_and_stop_nothing() {
    let bed = with_job().await;
    let at = past();
    let good = event("ping", "london-01", at, 1, v1::Phase::Missed);
    let mut forged = event("ping", "london-01", at, 1, v1::Phase::Missed);
    forged.scheduled_at = Some(timestamp(at + TimeDelta::seconds(1)));
    let unknown = event("nosuch", "london-01", at, 1, v1::Phase::Missed);
    let mut broken = event("ping", "london-01", at, 2, v1::Phase::Missed);
    broken.phase = 99;
    let elsewhere = event("ping", "paris-01", at, 1, v1::Phase::Missed);
    assert_eq!(report(&bed, "london-01", vec![forged, unknown, broken, good]).await, 4);
    assert_eq!(report(&bed, "paris-01", vec![elsewhere]).await, 1);
    let runs = runs(&bed, "alice").await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].phase(), v1::Phase::Missed);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_job_keeps_its_runs_and_takes_late_reports() {
    let bed = with_job().await;
    let at = past();
    report(&bed, "london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Running)]).await;
    bed.remove("jobs/ping.yaml");
    bed.applied(&bed.commit("no job")).await;
    report(&bed, "london-01", vec![event("ping", "london-01", at, 2, v1::Phase::Completed)]).await;
    let [run] = runs(&bed, "bob").await.try_into().unwrap();
    assert_eq!(run.phase(), v1::Phase::Completed);

    let mut bob = bed.connect("bob").testbed();
    let jobs = bob.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert!(jobs.is_empty());
    let request = v1::ListJobsRequest { deleted: true, node: "london-01".to_owned(), ..Default::default() };
    let jobs = bob.list_jobs(request).await.unwrap().into_inner().jobs;
    assert_eq!((jobs.len(), jobs[0].nodes.as_slice()), (1, &["london-01".to_owned()][..]));
    let request = v1::GetJobRequest { name: "ping".to_owned() };
    let job = bob.get_job(request).await.unwrap().into_inner().job.unwrap();
    assert!(job.deleted_at.is_some() && job.next_run.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_the_runs_of_their_own_jobs() {
    let bed = with_job().await;
    report(&bed, "london-01", vec![event("ping", "london-01", past(), 1, v1::Phase::Missed)]).await;
    let [run] = runs(&bed, "bob").await.try_into().unwrap();
    assert_eq!(runs(&bed, "alice").await.len(), 1);
    assert_eq!(runs(&bed, "london-01").await.len(), 1);
    assert!(runs(&bed, "carol").await.is_empty());
    assert!(runs(&bed, "paris-01").await.is_empty());

    let mut carol = bed.connect("carol").testbed();
    let hidden = carol.get_run(v1::GetRunRequest { id: run.id.clone() }).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    let nosuch = carol.get_run(v1::GetRunRequest { id: "0000-0000".to_owned() }).await.unwrap_err();
    assert_eq!(nosuch.code(), Code::NotFound);
    let request = v1::ListRunsRequest { user: "bob".to_owned(), ..Default::default() };
    assert_eq!(carol.list_runs(request).await.unwrap_err().code(), Code::PermissionDenied);
    let short = carol.get_run(v1::GetRunRequest { id: "abc".to_owned() }).await.unwrap_err();
    assert_eq!(short.code(), Code::InvalidArgument);
    let paris = v1::ListRunsRequest { node: "london-01".to_owned(), ..Default::default() };
    let denied = bed.connect("paris-01").testbed().list_runs(paris).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}
