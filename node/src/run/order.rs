//! What is to be run: everything that a run needs to be carried out to its end, whatever becomes of
//! the job's manifest meanwhile.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use almanac_schemas::{
    Instant, JobName, JobSpec, NodeName, Occurrence, RunId, RunRole, job::Artifacts, node::Limits,
};

use crate::scheduler::Reservation;

/// One run of one part of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The job.
    pub job: JobName,
    /// The node: this one.
    pub node: NodeName,
    /// Which part of the job.
    pub role: RunRole,
    /// The instant that it is scheduled at.
    pub scheduled_at: Instant,
    /// The instant at which it begins, in the orders of agents that know of it: with a jitter, a moment later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_at: Option<Instant>,
    /// The last instant at which it may start.
    pub start_by: Instant,
    /// The job's manifest at that instant.
    pub spec: JobSpec,
    /// The node's limits at that instant.
    pub limits: Limits,
    /// The engine's network that bridged containers join.
    pub network: String,
    /// The commit that the manifest comes from.
    pub commit: String,
    /// The other side of a pair, where the job has a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

/// The other side of a client and its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its node.
    pub node: NodeName,
    /// Of a server: where it is reached, as far as that is known; else empty.
    pub address: String,
}

impl Order {
    /// What identifies the run on this node. Both sides of a pair have the id of the client.
    pub fn key(&self) -> RunKey {
        let peer = self.peer.as_ref().filter(|_| self.role == RunRole::Server);
        let client = peer.map_or(&self.node, |peer| &peer.node);
        RunKey { id: RunId::new(&self.job, client, self.scheduled_at.0), role: self.role }
    }

    /// The node of its server, if it is a client that has one.
    pub fn server(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|_| self.role == RunRole::Client)
    }

    /// When its command begins.
    pub fn begin(&self) -> DateTime<Utc> {
        self.begin_at.unwrap_or(self.scheduled_at).0
    }

    /// The time that it has, if nobody else may have it.
    pub fn reservation(&self) -> Option<Reservation> {
        let time = Occurrence { start: self.scheduled_at.0, end: self.end() };
        self.spec.exclusive.then(|| Reservation { job: self.job.clone(), time })
    }

    /// Whether a container that was made for another order of the same run serves this one. Of the commit, it
    /// knows nothing but what is written once more when it is due.
    pub fn needs_the_same(&self, other: &Self) -> bool {
        self.key() == other.key()
            && (&self.spec, &self.limits, &self.network) == (&other.spec, &other.limits, &other.network)
            && self.peer == other.peer
    }

    /// When the container is stopped, however late it started: a run never leaves its reservation.
    pub fn end(&self) -> DateTime<Utc> {
        self.scheduled_at.0 + self.spec.schedule.length.to_delta()
    }

    /// The most bytes that its artifacts may have.
    pub fn artifacts_limit(&self) -> u64 {
        let limits = [self.spec.artifacts.max_size, self.limits.artifacts];
        limits.into_iter().flatten().min().unwrap_or(Artifacts::MOST).as_bytes()
    }
}

/// Identifies a run on this node: its id and which part of the job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The run.
    pub id: RunId,
    /// The part.
    pub role: RunRole,
}

impl RunKey {
    /// Reads what [`fmt::Display`] writes.
    pub fn from_text(text: &str) -> Option<Self> {
        let (id, role) = match text.strip_suffix("-server") {
            Some(id) => (id, RunRole::Server),
            None => (text, RunRole::Client),
        };
        Some(Self { id: id.parse().ok()?, role })
    }
}

impl fmt::Display for RunKey {
    /// The id, with `-server` for the part of a server. It names folders and containers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            RunRole::Client => self.id.fmt(f),
            RunRole::Server => write!(f, "{}-server", self.id),
        }
    }
}
