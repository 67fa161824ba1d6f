//! Jobs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::{Look, Row, View},
    relative::distance,
    table::{Cell, Column, Fit, Tone, details},
    view::{self, Condition, Spec, condition},
};

/// A declared experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// Where it runs, selectors resolved.
    pub nodes: Vec<String>,
    /// The commit that declared it as it is.
    pub commit: String,
    /// When it was first declared.
    pub created_at: Option<Instant>,
    /// When it was last changed.
    pub updated_at: Option<Instant>,
    /// When it was removed.
    pub deleted_at: Option<Instant>,
    /// When it runs next.
    pub next_run: Option<Instant>,
    /// How it is; empty when it was removed.
    pub conditions: Vec<Condition>,
    /// The `spec` of its manifest.
    pub spec: Spec,
}

impl TryFrom<v1::Job> for Job {
    type Error = FieldError;

    fn try_from(job: v1::Job) -> Result<Self, FieldError> {
        Ok(Self {
            name: job.name,
            owner: job.owner,
            nodes: job.nodes,
            commit: job.commit,
            created_at: view::maybe_instant("created_at", job.created_at.as_ref())?,
            updated_at: view::maybe_instant("updated_at", job.updated_at.as_ref())?,
            deleted_at: view::maybe_instant("deleted_at", job.deleted_at.as_ref())?,
            next_run: view::maybe_instant("next_run", job.next_run.as_ref())?,
            conditions: condition::all(job.conditions)?,
            spec: view::spec("spec", &job.spec)?,
        })
    }
}

impl Job {
    /// When it runs, in few words.
    fn schedule(&self) -> &str {
        let schedule = self.spec.get("schedule");
        let field = |name| schedule.and_then(|schedule| schedule.get(name)).and_then(Spec::as_str);
        view::dash(field("cron").or_else(|| field("at")))
    }

    fn next(&self, now: DateTime<Utc>) -> Cell {
        match (self.deleted_at, self.next_run) {
            (Some(_), _) => Cell::toned("removed", Tone::Odd),
            (None, Some(next)) => distance(next.0, now).into(),
            (None, None) => "over".into(),
        }
    }
}

impl Row for Job {
    const NONE: &'static str = "no jobs";
    const COLUMNS: &'static [Column] = &[
        Column { title: "NAME", fit: Fit::Shorten },
        Column { title: "OWNER", fit: Fit::Drop(2) },
        Column { title: "NODES", fit: Fit::Shorten },
        Column { title: "SCHEDULE", fit: Fit::Shorten },
        Column { title: "NEXT RUN", fit: Fit::Keep },
        Column { title: "READY", fit: Fit::Keep },
        Column { title: "COMMIT", fit: Fit::Drop(1) },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            self.name.as_str().into(),
            self.owner.as_str().into(),
            self.nodes.join(",").into(),
            self.schedule().into(),
            self.next(now),
            condition::ready(&self.conditions),
            view::short(&self.commit).into(),
        ]
    }
}

impl View for Job {
    fn text(&self, look: Look) -> String {
        let mut pairs = vec![
            ("name", self.name.as_str().into()),
            ("owner", self.owner.as_str().into()),
            ("nodes", self.nodes.join(", ").into()),
            ("schedule", self.schedule().into()),
            ("next run", view::both(self.next_run, look.now).into()),
            ("commit", self.commit.as_str().into()),
            ("created", view::both(self.created_at, look.now).into()),
            ("updated", view::both(self.updated_at, look.now).into()),
        ];
        if self.deleted_at.is_some() {
            pairs.push(("removed", view::both(self.deleted_at, look.now).into()));
        }
        details(pairs, look.style) + &condition::text(&self.conditions, look) + &view::spec_text(&self.spec)
    }
}
