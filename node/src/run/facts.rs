//! What `run.json` says: to the container what the run is, and to whoever downloads it later also how it ended.

use std::io;

use serde::Serialize;

use almanac_schemas::{Instant, JobName, NodeName, RunId, RunRole};

use crate::container;

use super::{Order, Outcome};

/// The facts of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    run: RunId,
    role: RunRole,
    job: JobName,
    node: NodeName,
    scheduled_at: Instant,
    /// Seconds.
    length: u64,
    image: String,
    commit: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    started_at: Instant,
    ended_at: Instant,
    #[serde(flatten)]
    outcome: Outcome,
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
            length: order.spec.schedule.length.as_secs(),
            image: container::part(&order.spec, order.role).image.to_string(),
            commit: order.commit.clone(),
            end: None,
        }
    }

    /// And how it ended.
    pub(super) fn ended(self, outcome: &Outcome, started_at: Instant, ended_at: Instant) -> Self {
        Self { end: Some(End { started_at, ended_at, outcome: outcome.clone() }), ..self }
    }

    pub(super) fn to_json(&self) -> io::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}
