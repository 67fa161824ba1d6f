//! What others are told about: every sync that was recorded, and every change of a condition.

use std::sync::Arc;

use almanac_schemas::Instant;
use serde::{Deserialize, Serialize};

use super::{Target, TargetKind};
use crate::{
    conditions::Condition,
    store::{SyncCause, SyncOutcome, SyncRow},
};

/// Something that is to be told to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// To whom: the name of a target in the configuration.
    pub target: String,
    /// What: an [`Event`] in JSON.
    pub body: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A commit was put in force, or was not.
    Sync {
        /// The number of the sync.
        sync: i64,
        /// The commit.
        commit: String,
        /// What came of it.
        outcome: Outcome,
        /// `commit` or `drift`.
        cause: String,
        /// For people.
        message: String,
        /// Name and address of the commit's author.
        author: String,
        /// The first line of its message.
        subject: String,
        /// When it was decided, in RFC 3339.
        at: String,
    },
    /// The repository, or what is fetched for nodes, is in another state than before.
    Condition {
        /// Which condition: `Ready`, `Stalled`, `Stale` or `Unfetched`.
        condition: String,
        /// Whether it holds now.
        status: bool,
        /// Why, in one word.
        reason: String,
        /// Why, for people.
        message: String,
        /// Since when, in RFC 3339.
        at: String,
    },
}

impl Event {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sync { .. } => "sync",
            Self::Condition { .. } => "condition",
        }
    }
}

/// What came of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The commit is in force.
    Applied,
    /// It has errors.
    Rejected,
    /// It waits for a human's word.
    Waiting,
}

/// Writes notices for whoever is told.
#[derive(Debug, Clone, Default)]
pub struct Announcer {
    targets: Arc<[(String, TargetKind)]>,
}

impl Announcer {
    /// Writes for these targets.
    pub fn new(targets: &[Target]) -> Self {
        Self { targets: targets.iter().map(|target| (target.name.clone(), target.kind)).collect() }
    }

    /// What is to be told about a sync.
    pub fn of_sync(&self, sync: &SyncRow, id: i64) -> Vec<Notice> {
        let event = Event::Sync {
            sync: id,
            commit: sync.commit.id.clone(),
            outcome: match sync.outcome {
                SyncOutcome::Applied => Outcome::Applied,
                SyncOutcome::Rejected => Outcome::Rejected,
                SyncOutcome::Waiting => Outcome::Waiting,
            },
            cause: sync.cause.as_str().to_owned(),
            message: sync.message.clone(),
            author: sync.commit.author.clone(),
            subject: sync.commit.subject.clone(),
            at: Instant(sync.ended_at).to_string(),
        };
        // What was put right between commits says nothing new about the commit.
        let drift = sync.cause == SyncCause::Drift;
        self.write(&event, |kind| !drift || kind == TargetKind::Webhook)
    }

    /// What is to be told about a condition that changed.
    pub fn of_condition(&self, condition: &Condition) -> Vec<Notice> {
        let event = Event::Condition {
            condition: condition.kind.as_str().to_owned(),
            status: condition.status,
            reason: condition.reason.as_str().to_owned(),
            message: condition.message.clone(),
            at: Instant(condition.since).to_string(),
        };
        self.write(&event, TargetKind::takes_conditions)
    }

    fn write(&self, event: &Event, concerned: impl Fn(TargetKind) -> bool) -> Vec<Notice> {
        let body = serde_json::to_string(event).expect("an event has text keys and no failing fields");
        let targets = self.targets.iter().filter(|(_, kind)| concerned(*kind));
        targets.map(|(target, _)| Notice { target: target.clone(), body: body.clone() }).collect()
    }
}
