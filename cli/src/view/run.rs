//! Runs.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Duration, Instant, Phase, Reason, RunId, RunRole};

use crate::{
    output::{Look, Row, View},
    relative::{distance, span},
    table::{Cell, Column, Fit, Tone, details, table},
    view,
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

/// A run with its history and its files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The image of its container, as its manifest names it.
    pub image: Option<String>,
    /// How much later than it was to start its container started, by the clock of its node.
    pub start_skew_ms: Option<f64>,
    /// What happened to it, in order.
    pub steps: Vec<Step>,
    /// What it left.
    pub artifacts: Vec<Artifact>,
}

/// A step in the life of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Counts from 1.
    pub sequence: u64,
    /// The phase that began.
    pub phase: Phase,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// For people.
    pub message: Option<String>,
    /// When.
    pub at: Instant,
}

/// A stored file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Which part of the job left it.
    pub role: RunRole,
    /// The file's name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its path in the store.
    pub path: String,
    /// When it was stored.
    pub stored_at: Option<Instant>,
    /// When it is to be removed, as things are; `null` for one that is kept for good or is gone.
    pub expires_at: Option<Instant>,
    /// When it was removed, since its retention was over.
    pub expired_at: Option<Instant>,
    /// How long it had been kept then.
    pub kept_for: Option<Duration>,
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
fn reason(value: i32) -> Option<Reason> {
    view::word::<v1::Reason, _>("reason", value).ok()
}

impl TryFrom<v1::GetRunResponse> for RunDetail {
    type Error = FieldError;

    fn try_from(response: v1::GetRunResponse) -> Result<Self, FieldError> {
        let run = response.run.ok_or_else(|| FieldError::missing("run"))?;
        let Part { run, image, start_skew_micros, .. } = run.try_into()?;
        Ok(Self {
            run,
            image,
            start_skew_ms: start_skew_micros.map(millis),
            steps: response.steps.into_iter().map(Step::try_from).collect::<Result<_, _>>()?,
            artifacts: response.artifacts.into_iter().map(Artifact::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::RunStep> for Step {
    type Error = FieldError;

    fn try_from(step: v1::RunStep) -> Result<Self, FieldError> {
        Ok(Self {
            sequence: step.sequence,
            phase: view::word::<v1::Phase, _>("phase", step.phase)?,
            reason: reason(step.reason),
            message: view::text(step.message),
            at: view::instant("at", step.at.as_ref())?,
        })
    }
}

impl TryFrom<v1::Artifact> for Artifact {
    type Error = FieldError;

    fn try_from(artifact: v1::Artifact) -> Result<Self, FieldError> {
        let mut sha256 = String::with_capacity(64);
        for byte in &artifact.sha256 {
            write!(sha256, "{byte:02x}").expect("writing to a string does not fail");
        }
        Ok(Self {
            role: view::word::<v1::Role, _>("role", artifact.role)?,
            name: artifact.name,
            size: artifact.size,
            sha256,
            path: artifact.path,
            stored_at: view::maybe_instant("stored_at", artifact.stored_at.as_ref())?,
            expires_at: view::maybe_instant("expires_at", artifact.expires_at.as_ref())?,
            kept_for: artifact.expired_at.map(|_| Duration::from_secs(artifact.kept_for_seconds)),
            expired_at: view::maybe_instant("expired_at", artifact.expired_at.as_ref())?,
        })
    }
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

fn phase(phase: Phase) -> Cell {
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
    fn took(&self, now: DateTime<Utc>) -> String {
        match (self.started_at, self.ended_at) {
            (Some(start), Some(end)) => span(end.0 - start.0),
            (Some(start), None) if !self.phase.is_terminal() => span(now - start.0),
            _ => "-".to_owned(),
        }
    }

    fn job_and_role(&self) -> String {
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

impl View for RunDetail {
    fn text(&self, look: Look) -> String {
        let run = &self.run;
        let now = look.now;
        let reason = run.reason.map(Reason::as_str);
        let skew = self.start_skew_ms.map_or_else(|| "-".to_owned(), |skew| format!("{skew:.1} ms"));
        let kept = run.kept.as_ref().map_or_else(|| "-".to_owned(), |keep| keep.words(now));
        let image = match (&self.image, &run.image_digest) {
            (Some(image), Some(digest)) => format!("{image} ({digest})"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "-".to_owned(),
        };
        let exit = run.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let pairs = vec![
            ("run", run.id.to_string().into()),
            ("job", run.job_and_role().into()),
            ("node", run.node.as_str().into()),
            ("owner", view::dash(run.owner.as_deref()).into()),
            ("scheduled", view::both(Some(run.scheduled_at), now).into()),
            ("phase", phase(run.phase)),
            ("reason", view::dash(reason).into()),
            ("message", view::dash(run.message.as_deref()).into()),
            ("started", view::both(run.started_at, now).into()),
            ("start delay", skew.into()),
            ("ended", view::both(run.ended_at, now).into()),
            ("took", run.took(now).into()),
            ("exit code", exit.into()),
            ("image", image.into()),
            ("commit", view::dash(run.commit.as_deref()).into()),
            ("kept", kept.into()),
        ];
        let mut text = details(pairs, look.style);
        if !self.steps.is_empty() {
            text.push('\n');
            text.push_str(&table(STEPS, self.steps.iter().map(Step::cells).collect(), look.style));
        }
        if !self.artifacts.is_empty() {
            text.push('\n');
            let cells = self.artifacts.iter().map(|artifact| artifact.cells(now)).collect();
            text.push_str(&table(ARTIFACTS, cells, look.style));
        }
        text
    }
}

const STEPS: &[Column] = &[
    Column { title: "AT (UTC)", fit: Fit::Keep },
    Column { title: "PHASE", fit: Fit::Keep },
    Column { title: "REASON", fit: Fit::Keep },
    Column { title: "MESSAGE", fit: Fit::Shorten },
];

impl Step {
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.at.0.format("%Y-%m-%d %H:%M:%S%.3f").to_string().into(),
            phase(self.phase),
            view::dash(self.reason.map(Reason::as_str)).into(),
            view::dash(self.message.as_deref()).into(),
        ]
    }
}

const ARTIFACTS: &[Column] = &[
    Column { title: "FILE", fit: Fit::Shorten },
    Column { title: "ROLE", fit: Fit::Drop(1) },
    Column { title: "SIZE", fit: Fit::Keep },
    Column { title: "EXPIRES", fit: Fit::Keep },
    Column { title: "SHA-256", fit: Fit::Shorten },
];

impl Artifact {
    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        let expires = match self.expired_at {
            Some(at) => Cell::toned(format!("expired {}", distance(at.0, now)), Tone::Odd),
            None => view::ago(self.expires_at, now).into(),
        };
        vec![
            self.name.as_str().into(),
            self.role.as_str().into(),
            view::size(self.size).into(),
            expires,
            self.sha256.as_str().into(),
        ]
    }
}

impl Keep {
    fn words(&self, now: DateTime<Utc>) -> String {
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("by {} since {}{reason}", self.actor, view::both(Some(self.since), now))
    }
}
