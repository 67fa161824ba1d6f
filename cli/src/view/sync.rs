//! Syncs: what came of looking at a commit.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::{Look, Row, View},
    relative::span,
    table::{Cell, Column, Fit, Tone, details},
    view::{self, Change, Finding},
};

/// What came of looking at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// Its number; 0 where nothing was recorded, since nothing was looked at.
    pub id: u64,
    /// The commit.
    pub commit: Option<String>,
    /// Its tree.
    pub tree: Option<String>,
    /// `commit`, or `drift` for what was put right between commits.
    pub cause: Option<String>,
    /// Who made the commit.
    pub author: Option<String>,
    /// Whose signature it carries, where that was verified.
    pub signer: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// When the commit was made.
    pub committed_at: Option<Instant>,
    /// When the sync began.
    pub started_at: Option<Instant>,
    /// When the sync was over.
    pub ended_at: Option<Instant>,
    /// What came of it.
    pub outcome: Outcome,
    /// For people.
    pub message: Option<String>,
    /// How many users, nodes and jobs it added.
    pub added: u32,
    /// How many it changed.
    pub changed: u32,
    /// How many it removed.
    pub removed: u32,
    /// How many findings there are.
    pub finding_count: u32,
    /// Who let a large removal pass.
    pub approved_by: Option<String>,
}

/// Whether a commit is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is, or was until a later one.
    Applied,
    /// It did not validate.
    Rejected,
    /// It could not be looked at or stored.
    Failed,
    /// It removes so much that it waits for a human's word.
    Waiting,
    /// Nothing was looked at, since somebody wants the syncs to rest.
    Suspended,
}

/// A sync with what it found and changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncDetail {
    /// The sync.
    #[serde(flatten)]
    pub sync: Sync,
    /// What is wrong with the commit, or questionable.
    pub findings: Vec<Finding>,
    /// What it changed, or would change if it were approved.
    pub changes: Vec<Change>,
}

impl TryFrom<v1::Sync> for Sync {
    type Error = FieldError;

    fn try_from(sync: v1::Sync) -> Result<Self, FieldError> {
        Ok(Self {
            id: sync.id,
            commit: view::text(sync.commit),
            tree: view::text(sync.tree),
            cause: view::text(sync.cause),
            author: view::text(sync.author),
            signer: view::text(sync.signer),
            subject: view::text(sync.subject),
            committed_at: view::maybe_instant("committed_at", sync.committed_at.as_ref())?,
            started_at: view::maybe_instant("started_at", sync.started_at.as_ref())?,
            ended_at: view::maybe_instant("ended_at", sync.ended_at.as_ref())?,
            outcome: view::word::<v1::SyncOutcome, _>("outcome", sync.outcome)?,
            message: view::text(sync.message),
            added: sync.added,
            changed: sync.changed,
            removed: sync.removed,
            finding_count: sync.findings,
            approved_by: view::text(sync.approved_by),
        })
    }
}

impl TryFrom<v1::SyncOutcome> for Outcome {
    type Error = FieldError;

    fn try_from(outcome: v1::SyncOutcome) -> Result<Self, FieldError> {
        match outcome {
            v1::SyncOutcome::Applied => Ok(Self::Applied),
            v1::SyncOutcome::Rejected => Ok(Self::Rejected),
            v1::SyncOutcome::Failed => Ok(Self::Failed),
            v1::SyncOutcome::Waiting => Ok(Self::Waiting),
            v1::SyncOutcome::Suspended => Ok(Self::Suspended),
            v1::SyncOutcome::Unspecified => Err(FieldError::missing("outcome")),
        }
    }
}

impl Sync {
    pub(super) fn outcome(&self) -> Cell {
        match self.outcome {
            Outcome::Applied => Cell::toned("applied", Tone::Good),
            Outcome::Rejected => Cell::toned("rejected", Tone::Bad),
            Outcome::Failed => Cell::toned("failed", Tone::Bad),
            Outcome::Waiting => Cell::toned("waiting", Tone::Odd),
            Outcome::Suspended => Cell::toned("suspended", Tone::Odd),
        }
    }

    pub(super) fn commit(&self) -> String {
        self.commit.as_deref().map_or_else(|| "-".to_owned(), view::short)
    }

    /// Who made the commit, by name. What was put right is nobody's doing, least of all theirs.
    pub(super) fn who(&self) -> &str {
        if self.is_drift() {
            return "-";
        }
        let author = view::dash(self.author.as_deref());
        // An address takes the room of the subject, and says no more.
        author.split_once(" <").map_or(author, |(name, _)| name)
    }

    /// What a line of a list says about it.
    pub(super) fn what(&self) -> &str {
        if self.is_drift() {
            "drift: the database was put right"
        } else {
            view::dash(self.subject.as_deref())
        }
    }

    fn is_drift(&self) -> bool {
        self.cause.as_deref() == Some("drift")
    }

    /// In a word, what it changed, or would change if it were approved, or found.
    pub(super) fn counts(&self) -> String {
        match self.outcome {
            Outcome::Applied | Outcome::Waiting => {
                format!("+{} ~{} -{}", self.added, self.changed, self.removed)
            }
            Outcome::Rejected | Outcome::Failed | Outcome::Suspended => match self.finding_count {
                0 => "-".to_owned(),
                1 => "1 finding".to_owned(),
                count => format!("{count} findings"),
            },
        }
    }

    /// How much it changed and found.
    pub(super) fn results(&self) -> Vec<(&'static str, Cell)> {
        let findings = ("findings", self.finding_count.to_string().into());
        let changes = match self.outcome {
            Outcome::Applied => self.counts(),
            Outcome::Waiting => format!("{} if it is approved", self.counts()),
            Outcome::Rejected | Outcome::Failed | Outcome::Suspended => return vec![findings],
        };
        let mut results = vec![("changes", changes.into())];
        results.extend((self.finding_count > 0).then_some(findings));
        results
    }

    /// What stands above its changes.
    pub fn heading(&self) -> &'static str {
        match self.outcome {
            Outcome::Waiting => "nothing was changed; if approved, it would change",
            _ => "changes",
        }
    }

    fn took(&self) -> String {
        match (self.started_at, self.ended_at) {
            (Some(start), Some(end)) if (end.0 - start.0).num_seconds() > 0 => span(end.0 - start.0),
            (Some(start), Some(end)) => format!("{}ms", (end.0 - start.0).num_milliseconds()),
            _ => "-".to_owned(),
        }
    }
}

impl Row for Sync {
    const NONE: &'static str = "no syncs";
    const COLUMNS: &'static [Column] = &[
        Column { title: "SYNC", fit: Fit::Keep },
        Column { title: "WHEN", fit: Fit::Keep },
        Column { title: "COMMIT", fit: Fit::Keep },
        Column { title: "OUTCOME", fit: Fit::Keep },
        Column { title: "CHANGES", fit: Fit::Keep },
        Column { title: "AUTHOR", fit: Fit::Shorten },
        Column { title: "SUBJECT", fit: Fit::Shorten },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            self.id.to_string().into(),
            view::ago(self.ended_at.or(self.started_at), now).into(),
            self.commit().into(),
            self.outcome(),
            self.counts().into(),
            self.who().into(),
            self.what().into(),
        ]
    }
}

impl View for Sync {
    fn text(&self, look: Look) -> String {
        let message = ("message", view::dash(self.message.as_deref()).into());
        // Where no commit was looked at there is nothing else to say.
        if self.commit.is_none() {
            return details(vec![("outcome", self.outcome()), message], look.style);
        }
        let mut pairs = vec![
            ("sync", self.id.to_string().into()),
            ("outcome", self.outcome()),
            ("cause", view::dash(self.cause.as_deref()).into()),
            ("commit", view::dash(self.commit.as_deref()).into()),
            ("tree", view::dash(self.tree.as_deref()).into()),
            ("author", view::dash(self.author.as_deref()).into()),
            ("signer", view::dash(self.signer.as_deref()).into()),
            ("subject", view::dash(self.subject.as_deref()).into()),
            ("committed", view::both(self.committed_at, look.now).into()),
            ("started", view::both(self.started_at, look.now).into()),
            ("took", self.took().into()),
        ];
        pairs.extend(self.results());
        if let Some(approver) = &self.approved_by {
            pairs.push(("approved by", approver.as_str().into()));
        }
        pairs.push(message);
        details(pairs, look.style)
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::table::{Style, table};

    /// However much there is to say, a line says who did it, and fits.
    #[test]
    fn a_line_names_its_author_and_fits_a_terminal() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let of = |author: &str, subject: &str, size: u32| v1::Sync {
            id: 123_456,
            commit: "1f0e9d5e2f4f3c1f7b110c5a5a531c5a5f0e9d5e".to_owned(),
            author: author.to_owned(),
            subject: subject.to_owned(),
            outcome: v1::SyncOutcome::Applied.into(),
            ended_at: Some(almanac_proto::convert::timestamp(now - chrono::TimeDelta::days(120))),
            added: size,
            changed: size,
            removed: size,
            ..v1::Sync::default()
        };
        let long = "Measure each path twice as often while the dish in London is being moved ".repeat(3);
        for (author, subject, size, begins) in [
            ("Alice Example <alice@example.org>", "Tidy up", 1, "Alice Example"),
            ("Alice Example <alice@example.org>", &*long, 1, "Alice Example"),
            ("Alice Example <alice@example.org>", &*long, 10_000, "Alice"),
            ("Wolfeschlegelsteinhausenbergerdorff Senior <w@example.org>", &*long, 10_000, "Wolfeschl…"),
            (
                "山田太郎 <taro@example.org>",
                "衛星回線の測定を二倍の頻度で行うように変更する作業の続き",
                10_000,
                "山田",
            ),
        ] {
            let sync = Sync::try_from(of(author, subject, size)).unwrap();
            let style = Style { width: Some(80), colour: false };
            let text = table(Sync::COLUMNS, vec![sync.cells(now)], style);
            assert!(text.contains(begins), "{text}");
            assert!(text.lines().all(|line| line.width() <= 80), "{text}");
            assert!(subject.len() < 20 || text.contains('…'), "{text}");
        }
    }

    #[test]
    fn what_was_put_right_is_not_told_as_somebodys_commit() {
        let words = |cause: &str| {
            let sync = v1::Sync {
                author: "Alice <alice@example.org>".to_owned(),
                subject: "move ping".to_owned(),
                cause: cause.to_owned(),
                outcome: v1::SyncOutcome::Applied.into(),
                ..v1::Sync::default()
            };
            let sync = Sync::try_from(sync).unwrap();
            [sync.who().to_owned(), sync.what().to_owned()]
        };
        assert_eq!(words("commit"), ["Alice", "move ping"]);
        assert_eq!(words("drift"), ["-", "drift: the database was put right"]);
    }
}
