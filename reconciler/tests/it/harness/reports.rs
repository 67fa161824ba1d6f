//! What an agent reports.

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::RunId;
use chrono::{DateTime, TimeDelta, Utc};

/// An instant in RFC 3339.
pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The id of a run.
pub(crate) fn run_id(job: &str, node: &str, at: DateTime<Utc>) -> String {
    RunId::new(&job.parse().unwrap(), &node.parse().unwrap(), at).to_string()
}

/// A step of a run of a job's client, so many seconds after the run was due as its sequence says.
pub(crate) fn event(
    job: &str,
    node: &str,
    at: DateTime<Utc>,
    sequence: u64,
    phase: v1::Phase,
) -> v1::RunEvent {
    let terminal = phase as i32 >= v1::Phase::Completed as i32;
    v1::RunEvent {
        run_id: run_id(job, node, at),
        job: job.to_owned(),
        role: v1::Role::Client.into(),
        scheduled_at: Some(timestamp(at)),
        sequence,
        phase: phase.into(),
        reason: if terminal { v1::Reason::ExitCode } else { v1::Reason::Unspecified }.into(),
        message: format!("step {sequence}"),
        at: Some(timestamp(at + TimeDelta::seconds(sequence.cast_signed()))),
        exit_code: terminal.then_some(0),
        image_digest: "sha256:0123".to_owned(),
        commit: "c0ffee".to_owned(),
        client: String::new(),
    }
}

/// All steps of a run that goes well.
pub(crate) fn whole_run(job: &str, node: &str, at: DateTime<Utc>) -> Vec<v1::RunEvent> {
    let phases = [v1::Phase::Deploying, v1::Phase::Running, v1::Phase::Uploading, v1::Phase::Completed];
    (1..).zip(phases).map(|(sequence, phase)| event(job, node, at, sequence, phase)).collect()
}
