//! Stored files of runs.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::{Duration, Instant, RunRole};

use crate::{
    relative::distance,
    table::{Cell, Column, Fit, Style, Tone, table},
    view,
};

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

const COLUMNS: &[Column] = &[
    Column { title: "FILE", fit: Fit::Shorten },
    Column { title: "ROLE", fit: Fit::Drop(1) },
    Column { title: "SIZE", fit: Fit::Keep },
    Column { title: "EXPIRES", fit: Fit::Keep },
    Column { title: "SHA-256", fit: Fit::Shorten },
];

/// The files of a run that has two sides: these call theirs by the same names.
const OF_A_PAIR: &[Column] =
    &[COLUMNS[0], Column { title: "ROLE", fit: Fit::Keep }, COLUMNS[2], COLUMNS[3], COLUMNS[4]];

/// The files of a run, as a table.
pub(super) fn listed(artifacts: &[Artifact], pair: bool, now: DateTime<Utc>, style: Style) -> String {
    let cells = artifacts.iter().map(|artifact| artifact.cells(now)).collect();
    table(if pair { OF_A_PAIR } else { COLUMNS }, cells, style)
}

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
