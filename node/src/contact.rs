//! Whether the reconciler is reached, for those who ask on this host.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tonic::Status;

use almanac_schemas::Instant;

use crate::link::{advice, problem};

/// Whether the reconciler is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Contact {
    /// Not yet.
    #[default]
    Connecting,
    /// It is.
    Connected {
        /// Since when.
        since: Instant,
    },
    /// It is not.
    Lost {
        /// Since when, or since the first attempt.
        since: Instant,
        /// What went wrong last.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Contact {
    /// The reconciler answers.
    pub fn make(&mut self, now: DateTime<Utc>) {
        *self = Self::Connected { since: Instant(now) };
    }

    /// A connection failed, or another attempt to make one.
    pub fn lose(&mut self, status: &Status, now: DateTime<Utc>) {
        let since = match self {
            Self::Lost { since, .. } => *since,
            Self::Connecting | Self::Connected { .. } => Instant(now),
        };
        *self = Self::Lost { since, problem: problem(status), remedy: advice(status.code()).to_owned() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_lost_since_the_first_failure() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut contact = Contact::default();
        contact.make(at(1));
        contact.lose(&Status::unavailable("one"), at(2));
        contact.lose(&Status::unauthenticated("two"), at(3));
        let Contact::Lost { since, problem, remedy } = &contact else { panic!("{contact:?}") };
        assert_eq!(since.0, at(2));
        assert!(problem.contains("two") && remedy.contains("key"), "{contact:?}");
        contact.make(at(4));
        assert_eq!(contact, Contact::Connected { since: Instant(at(4)) });
    }
}
