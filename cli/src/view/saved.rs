//! Files that a download put where they should be.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_schemas::{RunId, RunRole};

use crate::{
    output::Row,
    table::{Cell, Column, Fit, Tone},
    view,
};

/// A file of a run on this machine, whole and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// The run.
    pub run_id: RunId,
    /// Which part of the job left it.
    pub role: RunRole,
    /// Its name in the store.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The folder that it was unpacked to.
    pub extracted_to: Option<PathBuf>,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// How it came there.
    pub state: State,
}

/// How a file came to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It was fetched.
    Downloaded,
    /// The rest of it was fetched.
    Resumed,
    /// It was there already.
    Present,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Downloaded => "downloaded",
            Self::Resumed => "resumed",
            Self::Present => "present",
        }
    }
}

impl Row for Saved {
    const NONE: &'static str = "there is nothing to download";
    const COLUMNS: &'static [Column] = &[
        Column { title: "SIZE", fit: Fit::Keep },
        Column { title: "STATE", fit: Fit::Keep },
        // Whoever copies a path needs all of it, so it comes last and is never cut.
        Column { title: "FILE", fit: Fit::Keep },
    ];

    fn cells(&self, _now: DateTime<Utc>) -> Vec<Cell> {
        let path = self.extracted_to.as_ref().unwrap_or(&self.path);
        vec![
            view::size(self.size).into(),
            Cell::toned(self.state.as_str(), Tone::Good),
            path.display().to_string().into(),
        ]
    }
}
