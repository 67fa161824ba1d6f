//! What `run.json` says: to the container what the run is, and to whoever downloads it later also how it ended, by which
//! manifest it was run, and what it left. It is what a paper needs to say how its data came to be.

use std::io;

use serde::Serialize;

use almanac_schemas::{Instant, JobName, JobSpec, NodeName, RunId, RunRole};

use crate::{artifacts::LeftOut, container, journal::UploadFile};

use super::{Collected, Order, Outcome, trigger::Held};

/// The facts of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    run: RunId,
    role: RunRole,
    job: JobName,
    node: NodeName,
    scheduled_at: Instant,
    /// When it was to begin, where the job has a jitter.
    #[serde(skip_serializing_if = "Option::is_none")]
    begin_at: Option<Instant>,
    /// Seconds.
    length: u64,
    image: String,
    commit: String,
    /// By what its trigger held, where it waited for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Held>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    /// The files beside this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<Stored>>,
    /// What is not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    started_at: Instant,
    ended_at: Instant,
    /// How long after its instant the command began, in seconds.
    start_skew: f64,
    /// What an engine says of the image that ran; absent where there is no engine.
    #[serde(skip_serializing_if = "String::is_empty")]
    image_digest: String,
    #[serde(flatten)]
    outcome: Outcome,
    agent_version: &'static str,
    /// The `spec` of the job's manifest, as it was in force.
    manifest: JobSpec,
}

#[derive(Debug, Clone, Serialize)]
struct Stored {
    name: String,
    size: u64,
    sha256: String,
}

impl Facts {
    /// What there is to say before the run has ended.
    pub(super) fn of(order: &Order) -> Self {
        Self {
            run: order.key().id,
            role: order.role,
            job: order.job.clone(),
            node: order.node.clone(),
            scheduled_at: order.scheduled_at,
            begin_at: order.begin_at,
            length: order.spec.schedule.length.as_secs(),
            image: container::part(&order.spec, order.role).image.to_string(),
            commit: order.commit.clone(),
            trigger: None,
            end: None,
            files: None,
            left_out: None,
        }
    }

    /// And by what its trigger held.
    pub(super) fn triggered(self, trigger: Option<Held>) -> Self {
        Self { trigger, ..self }
    }

    /// And how the run of an order ended.
    pub(super) fn ended(
        self,
        order: &Order,
        outcome: &Outcome,
        started_at: Instant,
        ended_at: Instant,
        image_digest: String,
    ) -> Self {
        let skew = started_at.0 - order.begin();
        let end = End {
            started_at,
            ended_at,
            start_skew: skew.as_seconds_f64(),
            image_digest,
            outcome: outcome.clone(),
            agent_version: env!("CARGO_PKG_VERSION"),
            manifest: order.spec.clone(),
        };
        Self { end: Some(end), ..self }
    }

    /// And what it left.
    pub(super) fn with(mut self, collected: &Collected, files: &[UploadFile], left_out: &LeftOut) -> Self {
        if let Some(end) = &mut self.end {
            end.outcome = end.outcome.clone().with(collected.clone());
        }
        let stored = |file: &UploadFile| Stored {
            name: file.name.clone(),
            size: file.size,
            sha256: file.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let left_out = (!left_out.is_empty()).then(|| left_out.clone());
        Self { files: Some(files.iter().map(stored).collect()), left_out, ..self }
    }

    pub(super) fn to_json(&self) -> io::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}
