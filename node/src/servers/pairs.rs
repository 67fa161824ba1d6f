//! What the reconciler said of pairs: which servers are wanted here, and where the others are reached.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{JobName, NodeName, Reason, RunId, RunRole};

use crate::run::{Interruption, Order, Peer};

/// What the reconciler said of pairs, and what was made of it.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    tasks: BTreeMap<RunId, Task>,
    peers: BTreeMap<NodeName, String>,
    /// The runs whose server was started or refused here, since the agent started.
    taken: BTreeSet<RunId>,
}

/// That the server of a run is wanted here, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// The node of its client.
    pub client: NodeName,
    /// The instant of the run.
    pub scheduled_at: DateTime<Utc>,
    /// How it stands.
    pub state: v1::TaskState,
    /// Why it is over, for people.
    pub message: String,
}

impl Pairs {
    /// Takes what the reconciler said, in place of what it said before. A task that cannot be read is passed over, and
    /// is returned with what is wrong.
    pub fn hear(&mut self, message: v1::Tasks) -> Vec<(String, FieldError)> {
        let mut unreadable = Vec::new();
        self.tasks.clear();
        for task in message.tasks {
            let run = task.run_id.clone();
            match Task::try_from(task) {
                Ok(task) => drop(self.tasks.insert(task.run, task)),
                Err(error) => unreadable.push((run, error)),
            }
        }
        let peers = message.peers.into_iter();
        self.peers = peers.filter_map(|peer| Some((peer.node.parse().ok()?, peer.address))).collect();
        // What is forgotten there is not asked for again.
        self.taken.retain(|run| self.tasks.contains_key(run));
        unreadable
    }

    /// The servers that are wanted here and that nothing was made of yet.
    pub fn wanted(&self) -> impl Iterator<Item = &Task> {
        let is_wanted = |task: &&Task| {
            matches!(task.state, v1::TaskState::Requested | v1::TaskState::Ready)
                && !self.taken.contains(&task.run)
        };
        self.tasks.values().filter(is_wanted)
    }

    /// Whether nothing is to be made ready for a run any more: its server was taken, or is not wanted any more.
    pub fn is_settled(&self, run: RunId) -> bool {
        let is_over = |task: &Task| !matches!(task.state, v1::TaskState::Requested | v1::TaskState::Ready);
        self.taken.contains(&run) || self.tasks.get(&run).is_some_and(is_over)
    }

    /// The server of a run was started or refused.
    pub fn take(&mut self, run: RunId) {
        self.taken.insert(run);
    }

    /// The other side of a client, as far as it is known.
    pub fn peer(&self, server: &NodeName) -> Peer {
        Peer { node: server.clone(), address: self.peers.get(server).cloned().unwrap_or_default() }
    }

    /// Why the server of a run is to end, if it is. That nothing is known of its task is no reason: it ends with its
    /// reservation.
    pub fn interruption(&self, order: &Order) -> Option<Interruption> {
        if order.role != RunRole::Server {
            return None;
        }
        let task = self.tasks.get(&order.key().id)?;
        let (reason, message) = match task.state {
            v1::TaskState::Released => (Reason::LengthReached, "its client has ended"),
            v1::TaskState::Failed => (Reason::ServerUnavailable, task.message.as_str()),
            v1::TaskState::Abandoned => (Reason::NodeOffline, task.message.as_str()),
            v1::TaskState::Unspecified
            | v1::TaskState::Requested
            | v1::TaskState::Ready
            | v1::TaskState::Served => return None,
        };
        Some(Interruption { reason, message: message.to_owned() })
    }
}

impl TryFrom<v1::Task> for Task {
    type Error = FieldError;

    fn try_from(message: v1::Task) -> Result<Self, FieldError> {
        let state = message.state();
        let task = Self {
            run: convert::parse("run_id", &message.run_id)?,
            job: convert::parse("job", &message.job)?,
            client: convert::parse("client", &message.client)?,
            scheduled_at: convert::instant("scheduled_at", message.scheduled_at.as_ref())?,
            state,
            message: message.message,
        };
        if task.run != RunId::new(&task.job, &task.client, task.scheduled_at) {
            return Err(FieldError::invalid("run_id", "it is not that of job, client and instant"));
        }
        Ok(task)
    }
}
