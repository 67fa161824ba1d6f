//! A run by itself: what is known of it, what happened to it, and what it left.

use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::{Instant, Phase, Reason};

use crate::{
    output::{Look, View},
    table::{Cell, Column, Fit, details, table},
    view,
};

use super::{
    artifact::{self, Artifact},
    pair,
    run::{self, Part, Run},
};

/// A run with its history and its files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    /// The run: its client's side, where it has two and both are known.
    #[serde(flatten)]
    pub side: Side,
    /// What it left, on both sides.
    pub artifacts: Vec<Artifact>,
    /// The side of its server; `null` for a run without one, and while nothing is known of it.
    pub server: Option<Side>,
}

/// A run in one of its roles, with its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The image of its container, as its manifest names it.
    pub image: Option<String>,
    /// How much later than it was to start its container started, by the clock of its node.
    pub start_skew_ms: Option<f64>,
    /// What happened to it, in order.
    pub steps: Vec<Step>,
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

impl TryFrom<v1::GetRunResponse> for RunDetail {
    type Error = FieldError;

    fn try_from(response: v1::GetRunResponse) -> Result<Self, FieldError> {
        let run = response.run.ok_or_else(|| FieldError::missing("run"))?;
        let first = run.role;
        let mut others = response.parts.into_iter().filter(|part| part.role != first);
        let server = others.find(|part| part.role() == v1::Role::Server).map(Side::try_from).transpose()?;
        let steps = response.steps;
        Ok(Self {
            side: v1::Run { steps, ..run }.try_into()?,
            artifacts: response.artifacts.into_iter().map(Artifact::try_from).collect::<Result<_, _>>()?,
            server,
        })
    }
}

impl TryFrom<v1::Run> for Side {
    type Error = FieldError;

    fn try_from(mut run: v1::Run) -> Result<Self, FieldError> {
        let steps = std::mem::take(&mut run.steps);
        let Part { run, image, start_skew_micros, .. } = run.try_into()?;
        Ok(Self {
            run,
            image,
            start_skew_ms: start_skew_micros.map(run::millis),
            steps: steps.into_iter().map(Step::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::RunStep> for Step {
    type Error = FieldError;

    fn try_from(step: v1::RunStep) -> Result<Self, FieldError> {
        Ok(Self {
            sequence: step.sequence,
            phase: view::word::<v1::Phase, _>("phase", step.phase)?,
            reason: run::reason(step.reason),
            message: view::text(step.message),
            at: view::instant("at", step.at.as_ref())?,
        })
    }
}

impl View for RunDetail {
    fn text(&self, look: Look) -> String {
        let (text, steps) = match &self.server {
            None => (self.alone(look), steps(&self.side.steps, look)),
            Some(server) => {
                (pair::facts(&self.side, server, look), pair::steps(&self.side, server, look.style))
            }
        };
        let files = match self.artifacts.as_slice() {
            [] => String::new(),
            files => artifact::listed(files, self.server.is_some(), look.now, look.style),
        };
        [text, steps, files].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

impl RunDetail {
    /// What is known of a run that has one side.
    fn alone(&self, look: Look) -> String {
        let Side { run, .. } = &self.side;
        let now = look.now;
        let pairs = vec![
            ("run", run.id.to_string().into()),
            ("job", run.job_and_role().into()),
            ("node", run.node.as_str().into()),
            ("owner", view::dash(run.owner.as_deref()).into()),
            ("scheduled", view::both(Some(run.scheduled_at), now).into()),
            ("phase", run::phase(run.phase)),
            ("reason", view::dash(run.reason.map(Reason::as_str)).into()),
            ("message", view::dash(run.message.as_deref()).into()),
            ("started", view::both(run.started_at, now).into()),
            ("start delay", self.side.delay().into()),
            ("ended", view::both(run.ended_at, now).into()),
            ("took", run.took(now).into()),
            ("exit code", run.exit().into()),
            ("image", self.side.image().into()),
            ("commit", view::dash(run.commit.as_deref()).into()),
            ("kept", run.kept(now).into()),
        ];
        details(pairs, look.style)
    }
}

impl Side {
    /// The image, and which one that was.
    pub(super) fn image(&self) -> String {
        match (&self.image, &self.run.image_digest) {
            (Some(image), Some(digest)) => format!("{image} ({digest})"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "-".to_owned(),
        }
    }

    /// How late its container started.
    pub(super) fn delay(&self) -> String {
        self.start_skew_ms.map_or_else(|| "-".to_owned(), |skew| format!("{skew:.1} ms"))
    }
}

const STEPS: &[Column] = &[
    Column { title: "AT (UTC)", fit: Fit::Keep },
    Column { title: "PHASE", fit: Fit::Keep },
    Column { title: "REASON", fit: Fit::Keep },
    Column { title: "MESSAGE", fit: Fit::Shorten },
];

fn steps(steps: &[Step], look: Look) -> String {
    if steps.is_empty() {
        return String::new();
    }
    table(STEPS, steps.iter().map(|step| step.cells().into()).collect(), look.style)
}

impl Step {
    /// When, which phase, why, and what was said.
    pub(super) fn cells(&self) -> [Cell; 4] {
        [
            self.at.0.format("%Y-%m-%d %H:%M:%S%.3f").to_string().into(),
            run::phase(self.phase),
            view::dash(self.reason.map(Reason::as_str)).into(),
            view::dash(self.message.as_deref()).into(),
        ]
    }
}
