//! How an agent is: what it answers on its socket, and what `almanac-node status` shows.

mod render;
mod watch;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use almanac_schemas::{ClockOffset, Cordon, Instant, JobName, NodeName, Reason, RunId, RunRole, Scavenging};

use crate::contact::Contact;

pub(crate) use render::bytes;
pub use render::human;
pub use watch::{StatusError, Watch};

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node that it is.
    pub node: NodeName,
    /// Its version.
    pub version: String,
    /// When this was so.
    pub at: Instant,
    /// Since when the agent runs.
    pub started_at: Instant,
    /// The container engine and its version, or why it does not answer.
    pub engine: String,
    /// The reconciler that it follows.
    pub server: String,
    /// Whether it is reached.
    pub contact: Contact,
    /// By how much the clock differs from the reconciler's; absent before that was measured.
    pub clock: Option<ClockOffset>,
    /// What the reconciler wants, as far as the agent knows; absent before it was ever reached.
    pub state: Option<Held>,
    /// When the agent's journal was lost, if that was within a month.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rebuilt: Option<Rebuilt>,
    /// What runs, and what is on its way to the reconciler.
    pub runs: Vec<Going>,
    /// How much of the disk is free that runs write to, and how much of that is kept for the host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<String>,
    /// That too little of it is free for new runs, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short: Option<String>,
    /// What keeps new runs from starting now, if anything does.
    #[serde(default)]
    pub cordon: Option<Cordon>,
    /// Who wants the host's link now, if anybody does: no exclusive run starts.
    #[serde(default)]
    pub scavenging: Option<Scavenging>,
    /// What is due next.
    pub next: Vec<Next>,
    /// What measures something, and when it did last.
    #[serde(default)]
    pub telemetry: Vec<Measuring>,
    /// What waits for the reconciler.
    pub backlog: Backlog,
}

/// The desired state that the agent follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its number.
    pub generation: u64,
    /// The commit that it comes from.
    pub commit: String,
    /// When it was received.
    pub received_at: Instant,
    /// From when on nothing starts without a newer one.
    pub valid_until: Instant,
    /// How many jobs run here.
    pub jobs: usize,
}

/// A journal that was lost, and built anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilt {
    /// When.
    pub at: Instant,
    /// What was wrong with the old one.
    pub why: String,
    /// Where the old one is kept, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kept: Option<PathBuf>,
}

/// A run that has not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Going {
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
    /// Which part of the job.
    pub role: RunRole,
    /// Where it stands: `deploying`, `running`, `stopping`, `collecting` or `delivering`.
    pub stage: String,
    /// The instant that it was scheduled at.
    pub scheduled_at: Instant,
    /// When its container is stopped.
    pub until: Instant,
}

/// A run that is due later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// The job.
    pub job: JobName,
    /// When.
    pub scheduled_at: Instant,
    /// Why it will not run, if that is known already.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub omitted: Option<Omitted>,
}

/// What measures something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measuring {
    /// The provider.
    pub provider: String,
    /// When it measured last; absent: it did not since the agent started, or not for too long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub measured_at: Option<Instant>,
    /// Why it does not, if it should.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// Whether it waits until somebody wants what it measures.
    #[serde(default)]
    pub idle: bool,
}

/// Why a run that is due later will not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Omitted {
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// What waits for the reconciler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// Steps of runs that are not reported.
    pub events: u64,
    /// Files that are not uploaded.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes that may wait; artifacts of the oldest runs go beyond it.
    #[serde(default)]
    pub limit: u64,
    /// Files that were dropped within the last 30 days because there was no more room.
    #[serde(default)]
    pub dropped_files: u64,
    /// Their bytes.
    #[serde(default)]
    pub dropped_bytes: u64,
}
