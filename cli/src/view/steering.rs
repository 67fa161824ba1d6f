//! What people want of the syncs, and what they did to them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::{Look, Row, View},
    relative::distance,
    table::{Cell, Column, Fit, details},
    view::{self, Sync},
};

/// A wish about the syncs that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Who wants it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Option<Instant>,
    /// Until when; `null` until it is taken back.
    pub until: Option<Instant>,
    /// The commit that is pinned.
    pub commit: Option<String>,
}

/// A commit that was pinned, and what came of putting it in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// The wish.
    pub pinned: Hold,
    /// What came of it.
    pub sync: Sync,
}

/// Something that somebody did to the syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncAction {
    /// When.
    pub at: Option<Instant>,
    /// Who.
    pub actor: String,
    /// `suspend`, `resume`, `pin`, `unpin` or `approve`.
    pub action: String,
    /// The commit that it is about.
    pub commit: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Until when it was to hold.
    pub until: Option<Instant>,
}

impl TryFrom<v1::SyncHold> for Hold {
    type Error = FieldError;

    fn try_from(hold: v1::SyncHold) -> Result<Self, FieldError> {
        Ok(Self {
            actor: hold.actor,
            reason: hold.reason,
            since: view::maybe_instant("since", hold.since.as_ref())?,
            until: view::maybe_instant("until", hold.until.as_ref())?,
            commit: view::text(hold.commit),
        })
    }
}

impl TryFrom<v1::PinSyncResponse> for Pinned {
    type Error = FieldError;

    fn try_from(response: v1::PinSyncResponse) -> Result<Self, FieldError> {
        Ok(Self {
            pinned: response.pinned.ok_or_else(|| FieldError::missing("pinned"))?.try_into()?,
            sync: response.sync.ok_or_else(|| FieldError::missing("sync"))?.try_into()?,
        })
    }
}

impl TryFrom<v1::SyncAction> for SyncAction {
    type Error = FieldError;

    fn try_from(action: v1::SyncAction) -> Result<Self, FieldError> {
        Ok(Self {
            at: view::maybe_instant("at", action.at.as_ref())?,
            actor: action.actor,
            action: action.action,
            commit: view::text(action.commit),
            reason: view::text(action.reason),
            until: view::maybe_instant("until", action.until.as_ref())?,
        })
    }
}

impl Hold {
    /// What is pinned, by whom, until when and why, for a line of a larger whole.
    pub(super) fn sentence(&self, now: DateTime<Utc>) -> String {
        let commit = self.commit.as_deref().map(|commit| view::short(commit) + " ").unwrap_or_default();
        let since = self.since.map(|since| format!(", {}", distance(since.0, now))).unwrap_or_default();
        format!("{commit}by {}{since}, until {}: {}", self.actor, self.until(now), self.reason)
    }

    fn until(&self, now: DateTime<Utc>) -> String {
        let back = if self.commit.is_some() { "it is unpinned" } else { "it is resumed" };
        self.until.map_or_else(|| back.to_owned(), |until| view::both(Some(until), now))
    }
}

impl View for Hold {
    fn text(&self, look: Look) -> String {
        let mut pairs = match &self.commit {
            Some(commit) => vec![("pinned", commit.as_str().into()), ("by", self.actor.as_str().into())],
            None => vec![("suspended by", self.actor.as_str().into())],
        };
        pairs.push(("until", self.until(look.now).into()));
        pairs.push(("reason", self.reason.as_str().into()));
        details(pairs, look.style)
    }
}

impl View for Pinned {
    fn text(&self, look: Look) -> String {
        format!("{}\n{}", self.pinned.text(look), self.sync.text(look))
    }
}

impl Row for SyncAction {
    const NONE: &'static str = "nobody did anything to the syncs";
    const COLUMNS: &'static [Column] = &[
        Column { title: "WHEN", fit: Fit::Keep },
        Column { title: "WHO", fit: Fit::Shorten },
        Column { title: "ACTION", fit: Fit::Keep },
        Column { title: "COMMIT", fit: Fit::Keep },
        Column { title: "UNTIL", fit: Fit::Keep },
        Column { title: "REASON", fit: Fit::Wrap },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            view::ago(self.at, now).into(),
            self.actor.as_str().into(),
            self.action.as_str().into(),
            self.commit.as_deref().map_or_else(|| "-".to_owned(), view::short).into(),
            view::ago(self.until, now).into(),
            view::dash(self.reason.as_deref()).into(),
        ]
    }
}
