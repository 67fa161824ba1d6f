//! Runs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Instant, Phase, Reason, RunId, RunRole};

use crate::{
    output::Row,
    relative::span,
    table::{Cell, Column, Fit, Tone},
    view::{self, Artifact},
};

/// What ran at a scheduled instant, or why nothing did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The job.
    pub job: String,
    /// The node.
    pub node: String,
    /// Whose job it is.
    pub owner: Option<String>,
    /// Which part of the job.
    pub role: RunRole,
    /// When it was to start.
    pub scheduled_at: Instant,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it ended; `null` before, and for a reason that this version does not know.
    pub reason: Option<Reason>,
    /// For people.
    pub message: Option<String>,
    /// When its container started.
    pub started_at: Option<Instant>,
    /// When its container ended.
    pub ended_at: Option<Instant>,
    /// What its container ended with.
    pub exit_code: Option<i32>,
    /// The digest of the image that ran.
    pub image_digest: Option<String>,
    /// The commit whose manifest it follows.
    pub commit: Option<String>,
    /// Set while its files are kept for good.
    pub kept: Option<Keep>,
    /// The instant that it was moved to: there it is another run.
    pub moved_to: Option<Instant>,
}

/// Somebody keeps the files of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Instant,
}

/// A run in one of its roles, with its files and what its manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The run.
    pub run: Run,
    /// The image of its container, as its manifest names it.
    pub image: Option<String>,
    /// How much later than it was to start its container started, in microseconds.
    pub start_skew_micros: Option<i64>,
    /// What it left.
    pub artifacts: Vec<Artifact>,
}

impl TryFrom<v1::Run> for Run {
    type Error = FieldError;

    fn try_from(run: v1::Run) -> Result<Self, FieldError> {
        Ok(Self {
            id: convert::parse("id", &run.id)?,
            job: run.job,
            node: run.node,
            owner: view::text(run.owner),
            role: view::word::<v1::Role, _>("role", run.role)?,
            scheduled_at: view::instant("scheduled_at", run.scheduled_at.as_ref())?,
            phase: view::word::<v1::Phase, _>("phase", run.phase)?,
            reason: reason(run.reason),
            message: view::text(run.message),
            started_at: view::maybe_instant("started_at", run.started_at.as_ref())?,
            ended_at: view::maybe_instant("ended_at", run.ended_at.as_ref())?,
            exit_code: run.exit_code,
            image_digest: view::text(run.image_digest),
            commit: view::text(run.commit),
            kept: run.kept.map(Keep::try_from).transpose()?,
            moved_to: view::maybe_instant("moved_to", run.moved_to.as_ref())?,
        })
    }
}

impl TryFrom<v1::Keep> for Keep {
    type Error = FieldError;

    fn try_from(keep: v1::Keep) -> Result<Self, FieldError> {
        let since = view::instant("since", keep.since.as_ref())?;
        Ok(Self { actor: keep.actor, reason: view::text(keep.reason), since })
    }
}

impl TryFrom<v1::Run> for Part {
    type Error = FieldError;

    fn try_from(mut run: v1::Run) -> Result<Self, FieldError> {
        let artifacts = std::mem::take(&mut run.artifacts);
        Ok(Self {
            image: view::text(std::mem::take(&mut run.image)),
            start_skew_micros: run.start_skew_micros,
            artifacts: artifacts.into_iter().map(Artifact::try_from).collect::<Result<_, _>>()?,
            run: run.try_into()?,
        })
    }
}

/// New versions add reasons more often than phases, so an unknown one hides nothing but itself.
pub(super) fn reason(value: i32) -> Option<Reason> {
    view::word::<v1::Reason, _>("reason", value).ok()
}

/// Microseconds as milliseconds. A delay has far fewer digits than the number can hold.
pub(crate) fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

const fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Deploying | Phase::Running | Phase::Uploading => Tone::Busy,
        Phase::Completed => Tone::Good,
        Phase::Failed | Phase::Missed => Tone::Bad,
        Phase::Skipped | Phase::Aborted | Phase::Rescheduled => Tone::Odd,
    }
}

pub(super) fn phase(phase: Phase) -> Cell {
    Cell::toned(phase.as_str(), tone(phase))
}

impl Run {
    /// Why it ended. The ordinary end needs no words.
    fn why(&self) -> String {
        match (self.phase, self.reason, self.exit_code) {
            (Phase::Completed, Some(Reason::ExitCode), _) => String::new(),
            (_, Some(Reason::ExitCode), Some(code)) => format!("exit {code}"),
            (_, Some(reason), _) => reason.to_string(),
            (_, None, _) => String::new(),
        }
    }

    /// How long its container ran, up to now if it still does.
    pub(super) fn took(&self, now: DateTime<Utc>) -> String {
        match (self.started_at, self.ended_at) {
            (Some(start), Some(end)) => span(end.0 - start.0),
            (Some(start), None) if !self.phase.is_terminal() => span(now - start.0),
            _ => "-".to_owned(),
        }
    }

    /// What its container ended with.
    pub(super) fn exit(&self) -> String {
        self.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string())
    }

    /// Who keeps its files.
    pub(super) fn kept(&self, now: DateTime<Utc>) -> String {
        self.kept.as_ref().map_or_else(|| "-".to_owned(), |keep| keep.words(now))
    }

    pub(super) fn job_and_role(&self) -> String {
        match self.role {
            RunRole::Client => self.job.clone(),
            RunRole::Server => format!("{} (server)", self.job),
        }
    }
}

impl Row for Run {
    const NONE: &'static str = "no runs";
    const COLUMNS: &'static [Column] = &[
        Column { title: "ID", fit: Fit::Keep },
        Column { title: "JOB", fit: Fit::Shorten },
        Column { title: "NODE", fit: Fit::Shorten },
        Column { title: "SCHEDULED", fit: Fit::Keep },
        Column { title: "TOOK", fit: Fit::Drop(2) },
        Column { title: "PHASE", fit: Fit::Keep },
        Column { title: "REASON", fit: Fit::Keep },
        Column { title: "KEPT", fit: Fit::Drop(3) },
        Column { title: "OWNER", fit: Fit::Drop(1) },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            view::short(&self.id.to_string()).into(),
            self.job_and_role().into(),
            self.node.as_str().into(),
            view::ago(Some(self.scheduled_at), now).into(),
            self.took(now).into(),
            phase(self.phase),
            self.why().into(),
            self.kept.as_ref().map_or("", |_| "yes").into(),
            view::dash(self.owner.as_deref()).into(),
        ]
    }
}

impl Keep {
    fn words(&self, now: DateTime<Utc>) -> String {
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("by {} since {}{reason}", self.actor, view::both(Some(self.since), now))
    }
}
