//! What is to run when.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::{Instant, RunRole};

use crate::{
    output::Row,
    relative::{distance, span},
    table::{Cell, Column, Fit, Tone},
    view,
};

/// A time at which something is to run on a node, or at which nothing may.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// When it starts.
    pub start: Instant,
    /// When it is over.
    pub end: Instant,
    /// Where.
    pub node: String,
    /// What runs; nothing does in a maintenance window.
    pub job: Option<String>,
    /// Which part of the job.
    pub role: Option<RunRole>,
    /// Whose job it is.
    pub owner: Option<String>,
    /// Whether it has the node for itself.
    pub exclusive: bool,
    /// Whether it is a maintenance window.
    pub maintenance: bool,
    /// The instant that the job's manifest says, of a run that was moved here.
    pub moved_from: Option<Instant>,
}

impl TryFrom<v1::Occurrence> for Occurrence {
    type Error = FieldError;

    fn try_from(occurrence: v1::Occurrence) -> Result<Self, FieldError> {
        let role = match occurrence.maintenance {
            true => None,
            false => Some(view::word::<v1::Role, _>("role", occurrence.role)?),
        };
        Ok(Self {
            start: view::instant("start", occurrence.start.as_ref())?,
            end: view::instant("end", occurrence.end.as_ref())?,
            node: occurrence.node,
            job: view::text(occurrence.job),
            role,
            owner: view::text(occurrence.owner),
            exclusive: occurrence.exclusive,
            maintenance: occurrence.maintenance,
            moved_from: view::maybe_instant("moved_from", occurrence.moved_from.as_ref())?,
        })
    }
}

impl Row for Occurrence {
    const NONE: &'static str = "nothing is scheduled in that time";
    const COLUMNS: &'static [Column] = &[
        Column { title: "START (UTC)", fit: Fit::Keep },
        Column { title: "", fit: Fit::Keep },
        Column { title: "LENGTH", fit: Fit::Keep },
        Column { title: "NODE", fit: Fit::Shorten },
        Column { title: "JOB", fit: Fit::Shorten },
        Column { title: "OWNER", fit: Fit::Drop(2) },
        Column { title: "SHARED", fit: Fit::Drop(1) },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        let job = match (&self.job, self.role) {
            (None, _) => Cell::toned("(maintenance)", Tone::Odd),
            (Some(job), _) if self.moved_from.is_some() => Cell::toned(format!("{job} (moved)"), Tone::Odd),
            (Some(job), Some(RunRole::Server)) => format!("{job} (server)").into(),
            (Some(job), _) => job.as_str().into(),
        };
        vec![
            self.start.0.format("%Y-%m-%d %H:%M:%S").to_string().into(),
            distance(self.start.0, now).into(),
            span(self.end.0 - self.start.0).into(),
            self.node.as_str().into(),
            job,
            view::dash(self.owner.as_deref()).into(),
            if self.exclusive || self.maintenance { "no" } else { "yes" }.into(),
        ]
    }
}
