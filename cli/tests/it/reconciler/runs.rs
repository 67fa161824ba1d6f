//! Runs.

use tonic::Status;

use almanac_proto::v1;

use super::{COMPLETED, MISSED, RUNNING, Reconciler, at, known::APPLIED, pair};

pub(super) fn list(
    reconciler: &Reconciler,
    question: &v1::ListRunsRequest,
) -> Result<v1::ListRunsResponse, Status> {
    let mut runs = runs();
    if question.details {
        runs = runs.into_iter().map(|run| detailed(reconciler, run)).collect();
    }
    runs.retain(|run| question.phases.is_empty() || question.phases.contains(&run.phase));
    let (runs, next_page_token) = reconciler.page(runs, question.page_size, &question.page_token);
    Ok(v1::ListRunsResponse { runs, next_page_token })
}

pub(super) fn cancel(
    reconciler: &Reconciler,
    question: &v1::CancelRunRequest,
) -> Result<v1::CancelRunResponse, Status> {
    let v1::CancelRunRequest { id, reason } = question.clone();
    reconciler.state.lock().unwrap().asked.push(format!("cancel {id} because `{reason}`"));
    let run = runs().into_iter().find(|run| run.id.starts_with(&id)).unwrap();
    if run.id == COMPLETED {
        return Err(Status::failed_precondition("the run has ended"));
    }
    Ok(v1::CancelRunResponse { run: Some(run), connected: false })
}

pub(super) fn get(
    reconciler: &Reconciler,
    question: &v1::GetRunRequest,
) -> Result<v1::GetRunResponse, Status> {
    let id = &question.id;
    if let Some(pair) = pair::get(id, &reconciler.state.lock().unwrap().files) {
        return Ok(pair);
    }
    let run = runs().into_iter().find(|run| run.id.starts_with(id));
    let run = run.ok_or_else(|| Status::not_found(format!("run `{id}` not found")))?;
    let none = v1::Reason::Unspecified;
    let (steps, artifacts) = match run.id.as_str() {
        COMPLETED => (
            vec![
                step(1, v1::Phase::Deploying, none, "pulling almanac/probe:1", "2027-01-10T11:44:51Z"),
                step(2, v1::Phase::Running, none, "", "2027-01-10T11:45:00.013Z"),
                step(3, v1::Phase::Uploading, none, "", "2027-01-10T11:46:00.250Z"),
                step(4, v1::Phase::Completed, v1::Reason::ExitCode, "", "2027-01-10T11:46:02.500Z"),
            ],
            reconciler.state.lock().unwrap().files.iter().map(|file| file.announced.clone()).collect(),
        ),
        _ => (vec![], vec![]),
    };
    let parts = vec![detailed(reconciler, run.clone())];
    let run = Some(v1::Run { artifacts: vec![], ..parts[0].clone() });
    Ok(v1::GetRunResponse { run, steps, artifacts, parts })
}

pub(super) fn keep(
    reconciler: &Reconciler,
    question: &v1::KeepRunRequest,
) -> Result<v1::KeepRunResponse, Status> {
    let v1::KeepRunRequest { id, reason } = question.clone();
    let keep = v1::Keep { actor: "alice".to_owned(), reason, since: at("2027-01-10T11:58:00Z") };
    Ok(v1::KeepRunResponse { run: kept(reconciler, id, Some(keep))? })
}

pub(super) fn unkeep(
    reconciler: &Reconciler,
    question: &v1::UnkeepRunRequest,
) -> Result<v1::UnkeepRunResponse, Status> {
    let run = kept(reconciler, question.id.clone(), None)?;
    Ok(v1::UnkeepRunResponse { run })
}

/// A step in the life of a run.
pub(super) fn step(
    sequence: u64,
    phase: v1::Phase,
    reason: v1::Reason,
    message: &str,
    when: &str,
) -> v1::RunStep {
    v1::RunStep {
        sequence,
        phase: phase.into(),
        reason: reason.into(),
        message: message.to_owned(),
        at: at(when),
    }
}

/// A run with its details.
fn detailed(reconciler: &Reconciler, run: v1::Run) -> v1::Run {
    if run.id != COMPLETED {
        return run;
    }
    let files = &reconciler.state.lock().unwrap().files;
    v1::Run {
        artifacts: files.iter().map(|file| file.announced.clone()).collect(),
        image: "almanac/probe:1".to_owned(),
        start_skew_micros: Some(12_345),
        ..run
    }
}

/// A run that is kept, or not any more.
fn kept(
    reconciler: &Reconciler,
    id: String,
    kept: Option<v1::Keep>,
) -> Result<Option<v1::GetRunResponse>, Status> {
    let mut answer = get(reconciler, &v1::GetRunRequest { id })?;
    answer.run.as_mut().unwrap().kept = kept;
    Ok(Some(answer))
}

pub(super) fn runs() -> Vec<v1::Run> {
    let run = |id: &str, node: &str, scheduled: &str, phase: v1::Phase| v1::Run {
        id: id.to_owned(),
        job: "ping-london".to_owned(),
        node: node.to_owned(),
        owner: "alice".to_owned(),
        scheduled_at: at(scheduled),
        phase: phase.into(),
        commit: APPLIED.to_owned(),
        role: v1::Role::Client.into(),
        ..v1::Run::default()
    };
    vec![
        v1::Run {
            job: "congestion-control-bbr".to_owned(),
            started_at: at("2027-01-10T11:59:30Z"),
            image_digest: "sha256:0123456789abcdef".to_owned(),
            ..run(RUNNING, "london-01", "2027-01-10T11:59:30Z", v1::Phase::Running)
        },
        v1::Run {
            reason: v1::Reason::ExitCode.into(),
            started_at: at("2027-01-10T11:45:00Z"),
            ended_at: at("2027-01-10T11:46:00Z"),
            exit_code: Some(0),
            image_digest: "sha256:0123456789abcdef".to_owned(),
            kept: Some(v1::Keep {
                actor: "alice".to_owned(),
                reason: "for the paper".to_owned(),
                since: at("2027-01-10T11:50:00Z"),
            }),
            ..run(COMPLETED, "london-01", "2027-01-10T11:45:00Z", v1::Phase::Completed)
        },
        v1::Run {
            reason: v1::Reason::NodeOffline.into(),
            message: "the agent was not running".to_owned(),
            ..run(MISSED, "tromso-01", "2027-01-10T09:00:00Z", v1::Phase::Missed)
        },
        v1::Run {
            reason: v1::Reason::ExitCode.into(),
            started_at: at("2027-01-09T11:45:00Z"),
            ended_at: at("2027-01-09T11:45:03Z"),
            exit_code: Some(2),
            ..run(
                "9d5e7b11-0c5a-5a53-9c5a-5f0e2f4f3c1f",
                "paris-01",
                "2027-01-09T11:45:00Z",
                v1::Phase::Failed,
            )
        },
    ]
}
