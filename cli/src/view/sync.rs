//! Syncs: what came of looking at a commit.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::{Look, Row, View},
    table::{Cell, Column, Fit, Tone, details},
    view::{self, Spec},
};

/// What came of looking at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// Its number.
    pub id: u64,
    /// The commit.
    pub commit: Option<String>,
    /// Who made the commit.
    pub author: Option<String>,
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
}

/// A sync with what it found and changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncDetail {
    /// The sync.
    #[serde(flatten)]
    pub sync: Sync,
    /// What is wrong with the commit, or questionable.
    pub findings: Vec<Finding>,
    /// What it changed.
    pub changes: Vec<Change>,
}

/// Something wrong or questionable in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: Option<String>,
    /// From 1; `null` where it concerns a file as a whole.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// The line in which it ends.
    pub end_line: Option<u32>,
    /// The column before which it ends.
    pub end_column: Option<u32>,
    /// What to do.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The commit is rejected.
    Error,
    /// It is not.
    Warning,
}

/// What a sync did to one user, node, job or to the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `User`, `Node`, `Job` or `Config`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub action: Action,
    /// What it was.
    pub before: Option<Spec>,
    /// What it is.
    pub after: Option<Spec>,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Added,
    Changed,
    Removed,
}

/// How far the testbed has followed its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// The repository.
    pub repository: String,
    /// The branch that is followed.
    pub branch: String,
    /// The commit in force.
    pub applied_commit: Option<String>,
    /// When it was applied.
    pub applied_at: Option<Instant>,
    /// The latest sync.
    pub latest: Option<Sync>,
    /// When the repository was looked at last.
    pub last_look: Option<Instant>,
    /// Why that failed.
    pub look_error: Option<String>,
    /// How many nodes there are.
    pub nodes: u32,
    /// How many of them hold what they should.
    pub nodes_current: u32,
}

impl TryFrom<v1::Sync> for Sync {
    type Error = FieldError;

    fn try_from(sync: v1::Sync) -> Result<Self, FieldError> {
        Ok(Self {
            id: sync.id,
            commit: view::text(sync.commit),
            author: view::text(sync.author),
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
            v1::SyncOutcome::Unspecified => Err(FieldError::missing("outcome")),
        }
    }
}

impl TryFrom<v1::GetSyncResponse> for SyncDetail {
    type Error = FieldError;

    fn try_from(response: v1::GetSyncResponse) -> Result<Self, FieldError> {
        Ok(Self {
            sync: response.sync.ok_or_else(|| FieldError::missing("sync"))?.try_into()?,
            findings: response.findings.into_iter().map(Finding::from).collect(),
            changes: response.changes.into_iter().map(Change::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<v1::Finding> for Finding {
    fn from(finding: v1::Finding) -> Self {
        let known = |number: u32| (number > 0).then_some(number);
        Self {
            rule: finding.rule,
            severity: if finding.severity == "warning" { Severity::Warning } else { Severity::Error },
            message: finding.message,
            file: view::text(finding.file),
            line: known(finding.line),
            column: known(finding.column),
            end_line: known(finding.end_line),
            end_column: known(finding.end_column),
            help: view::text(finding.help),
        }
    }
}

impl TryFrom<v1::Change> for Change {
    type Error = FieldError;

    fn try_from(change: v1::Change) -> Result<Self, FieldError> {
        let side = |field, json: String| view::text(json).map(|json| view::spec(field, &json)).transpose();
        Ok(Self {
            kind: change.kind,
            name: change.name,
            action: view::word::<v1::ChangeAction, _>("action", change.action)?,
            before: side("before", change.before)?,
            after: side("after", change.after)?,
        })
    }
}

impl TryFrom<v1::ChangeAction> for Action {
    type Error = FieldError;

    fn try_from(action: v1::ChangeAction) -> Result<Self, FieldError> {
        match action {
            v1::ChangeAction::Added => Ok(Self::Added),
            v1::ChangeAction::Changed => Ok(Self::Changed),
            v1::ChangeAction::Removed => Ok(Self::Removed),
            v1::ChangeAction::Unspecified => Err(FieldError::missing("action")),
        }
    }
}

impl TryFrom<v1::GetSyncStatusResponse> for SyncStatus {
    type Error = FieldError;

    fn try_from(status: v1::GetSyncStatusResponse) -> Result<Self, FieldError> {
        Ok(Self {
            repository: status.repository,
            branch: status.branch,
            applied_commit: view::text(status.applied_commit),
            applied_at: view::maybe_instant("applied_at", status.applied_at.as_ref())?,
            latest: status.latest.map(Sync::try_from).transpose()?,
            last_look: view::maybe_instant("last_look", status.last_look.as_ref())?,
            look_error: view::text(status.look_error),
            nodes: status.nodes,
            nodes_current: status.nodes_current,
        })
    }
}

impl Sync {
    fn outcome(&self) -> Cell {
        match self.outcome {
            Outcome::Applied => Cell::toned("applied", Tone::Good),
            Outcome::Rejected => Cell::toned("rejected", Tone::Bad),
            Outcome::Failed => Cell::toned("failed", Tone::Bad),
        }
    }

    fn commit(&self) -> String {
        self.commit.as_deref().map_or_else(|| "-".to_owned(), view::short)
    }

    fn counts(&self) -> String {
        match self.outcome {
            Outcome::Applied => format!("+{} ~{} -{}", self.added, self.changed, self.removed),
            Outcome::Rejected | Outcome::Failed => match self.finding_count {
                0 => "-".to_owned(),
                1 => "1 finding".to_owned(),
                count => format!("{count} findings"),
            },
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
        Column { title: "AUTHOR", fit: Fit::Drop(1) },
        Column { title: "SUBJECT", fit: Fit::Shorten },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            self.id.to_string().into(),
            view::ago(self.ended_at.or(self.started_at), now).into(),
            self.commit().into(),
            self.outcome(),
            self.counts().into(),
            view::dash(self.author.as_deref()).into(),
            view::dash(self.subject.as_deref()).into(),
        ]
    }
}

impl View for Sync {
    fn text(&self, look: Look) -> String {
        let pairs = vec![
            ("sync", self.id.to_string().into()),
            ("outcome", self.outcome()),
            ("commit", view::dash(self.commit.as_deref()).into()),
            ("author", view::dash(self.author.as_deref()).into()),
            ("subject", view::dash(self.subject.as_deref()).into()),
            ("committed", view::both(self.committed_at, look.now).into()),
            ("synced", view::both(self.ended_at.or(self.started_at), look.now).into()),
            ("changes", self.counts().into()),
            ("message", view::dash(self.message.as_deref()).into()),
        ];
        details(pairs, look.style)
    }
}

impl View for SyncDetail {
    fn text(&self, look: Look) -> String {
        let mut text = self.sync.text(look);
        for finding in &self.findings {
            text.push('\n');
            text.push_str(&finding.text());
        }
        if !self.changes.is_empty() {
            text.push_str("\nchanges:\n");
        }
        for change in &self.changes {
            text.push_str(&change.text());
        }
        text
    }
}

impl Finding {
    /// As a compiler would say it.
    fn text(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = [self.file.clone(), self.line.map(|n| n.to_string()), self.column.map(|n| n.to_string())];
        let place: Vec<_> = place.into_iter().map_while(|part| part).collect();
        let place = if place.is_empty() { String::new() } else { place.join(":") + " " };
        let mut text = format!("{severity}[{}] {place}{}\n", self.rule, self.message);
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {help}\n"));
        }
        text
    }
}

impl Change {
    fn text(&self) -> String {
        let (sign, fields) = match self.action {
            Action::Added => ('+', String::new()),
            Action::Removed => ('-', String::new()),
            Action::Changed => ('~', format!(": {}", self.fields().join(", "))),
        };
        format!("  {sign} {} {}{fields}\n", self.kind, self.name)
    }

    /// The fields that differ, such as `spec.schedule`.
    fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        differing(self.before.as_ref(), self.after.as_ref(), "", DEPTH, &mut fields);
        fields
    }
}

/// How deep fields are named: enough to tell a schedule from a container, and short enough to read.
const DEPTH: u8 = 2;

fn differing(before: Option<&Spec>, after: Option<&Spec>, path: &str, depth: u8, fields: &mut Vec<String>) {
    if before == after {
        return;
    }
    let mapping = |side: Option<&Spec>| side.and_then(Spec::as_mapping).cloned();
    let (Some(old), Some(new)) = (mapping(before), mapping(after)) else {
        return fields.push(path.to_owned());
    };
    if depth == 0 {
        return fields.push(path.to_owned());
    }
    let names: BTreeSet<_> = old.keys().chain(new.keys()).filter_map(Spec::as_str).collect();
    for name in names {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        differing(old.get(name), new.get(name), &path, depth - 1, fields);
    }
}

impl View for SyncStatus {
    fn text(&self, look: Look) -> String {
        let mut pairs = vec![
            ("repository", self.repository.as_str().into()),
            ("branch", self.branch.as_str().into()),
            ("in force", view::dash(self.applied_commit.as_deref()).into()),
            ("applied", view::both(self.applied_at, look.now).into()),
            ("looked", view::both(self.last_look, look.now).into()),
        ];
        if let Some(error) = &self.look_error {
            pairs.push(("problem", Cell::toned(error.as_str(), Tone::Bad)));
        }
        if let Some(latest) = &self.latest {
            pairs.push(("latest", Cell::from(format!("sync {} of {}", latest.id, latest.commit()))));
            pairs.push(("outcome", latest.outcome()));
            pairs.push(("changes", latest.counts().into()));
        }
        pairs.push((
            "nodes",
            format!("{} of {} hold what they should", self.nodes_current, self.nodes).into(),
        ));
        details(pairs, look.style)
    }
}
