//! What others are told about: every sync that was recorded, and every change of a condition.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::{SyncOutcome, SyncRow};

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
    /// The repository is in another state than before.
    Condition {
        /// Which condition: `Ready`, `Stalled` or `Stale`.
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

/// Whoever is told about everything.
#[derive(Debug, Clone, Default)]
pub struct Announcer {
    targets: Arc<[String]>,
}

impl Announcer {
    /// Tells these targets.
    pub fn new(targets: impl IntoIterator<Item = String>) -> Self {
        Self { targets: targets.into_iter().collect() }
    }

    /// What is to be told about a sync.
    pub fn of_sync(&self, sync: &SyncRow, id: i64) -> Vec<Notice> {
        self.all(&Event::Sync {
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
            at: sync.ended_at.to_rfc3339(),
        })
    }

    /// A notice of an event for each target.
    pub fn all(&self, event: &Event) -> Vec<Notice> {
        let body = serde_json::to_string(event).expect("an event has text keys and no failing fields");
        self.targets.iter().map(|target| Notice { target: target.clone(), body: body.clone() }).collect()
    }
}
