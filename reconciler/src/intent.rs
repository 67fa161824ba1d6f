//! What people want of the syncs: that they rest, or stay on a commit.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::store::ActionRow;

/// What people want of the syncs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// Nothing is to be put in force.
    pub suspended: Option<Hold>,
    /// A commit is to be in force, whatever the branch does.
    pub pinned: Option<Hold>,
}

/// A wish that holds, for a while or until it is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who wants it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; until it is taken back when absent.
    pub until: Option<DateTime<Utc>>,
    /// The commit that is to be in force; empty for a suspension.
    pub commit: String,
}

/// Something that a person does to the syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Deed {
    Suspend,
    Resume,
    Pin,
    Unpin,
    Approve,
}

/// A word that stands for nothing that a person does.
#[derive(Debug, Error)]
#[error("expected `suspend`, `resume`, `pin`, `unpin` or `approve`")]
pub struct DeedError;

impl Intent {
    /// What still holds at an instant.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        let holds = |hold: &Hold| hold.until.is_none_or(|until| now < until);
        Self { suspended: self.suspended.filter(holds), pinned: self.pinned.filter(holds) }
    }

    /// When the next of them ends by itself.
    pub fn expiry(&self) -> Option<DateTime<Utc>> {
        [&self.suspended, &self.pinned].into_iter().flatten().filter_map(|hold| hold.until).min()
    }
}

impl Hold {
    /// One that begins now and holds until it is taken back.
    pub fn of(actor: &str, reason: &str, since: DateTime<Utc>) -> Self {
        Self { actor: actor.to_owned(), reason: reason.to_owned(), since, until: None, commit: String::new() }
    }
}

impl Deed {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Approve => "approve",
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Deed {
    type Err = DeedError;

    fn from_str(word: &str) -> Result<Self, DeedError> {
        [Self::Suspend, Self::Resume, Self::Pin, Self::Unpin, Self::Approve]
            .into_iter()
            .find(|deed| deed.as_str() == word)
            .ok_or(DeedError)
    }
}

impl From<ActionRow> for Hold {
    fn from(action: ActionRow) -> Self {
        let ActionRow { at, actor, commit, reason, until, .. } = action;
        Self { actor, reason, since: at, until, commit }
    }
}

impl fmt::Display for Hold {
    /// By whom, until when and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.actor)?;
        if let Some(until) = self.until {
            write!(f, " until {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_at_its_end() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let hold = |until| Hold { until, ..Hold::of("alice", "the dish is being moved", at(0)) };
        let intent = Intent { suspended: Some(hold(Some(at(60)))), pinned: Some(hold(None)) };
        let after = |seconds| intent.clone().at(at(seconds));
        assert!(after(59).suspended.is_some() && after(60).suspended.is_none());
        assert!(after(1_000_000).pinned.is_some());
        assert_eq!(intent.expiry(), Some(at(60)));
        assert_eq!(after(60).expiry(), None);
        assert_eq!(hold(None).to_string(), "by alice: the dish is being moved");
        assert_eq!(
            hold(Some(at(60))).to_string(),
            "by alice until 2027-01-15T08:01:00Z: the dish is being moved"
        );
    }
}
