//! `almanac-validate check`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use almanac_schemas::Instant;
use almanac_validate::{
    check,
    render::{human, json},
    walk,
};
use anyhow::Context;
use chrono::Utc;
use clap::ValueEnum;

use crate::exit::{EXIT_CODES, Exit};

/// Check all manifests below a folder.
///
/// Every `*.yaml` and `*.yml` is a manifest, whatever its folder. Hidden files and folders are passed
/// over, and so is what `.almanacignore` lists, in the syntax of `.gitignore`. Nothing is changed
/// without `--fix`, and nothing in the folder is ever run.
///
/// The rule of a finding is in brackets after its severity: `almanac-validate explain RULE` says more.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    /// The folder.
    #[arg(default_value = ".")]
    path: PathBuf,

    /// How findings are written.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Take this instant for the present, so that a check can be repeated: only what happens from then
    /// on counts. RFC 3339 with an offset, such as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    now: Option<Instant>,

    /// Carry out every fix that is certain, such as a misspelt field, in the files themselves. Comments
    /// and layout stay as they are. What is left is printed.
    #[arg(long)]
    fix: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With code frames, for people.
    Human,
    /// As one JSON document, for programs (schemas/json/findings.json).
    Json,
}

impl Check {
    /// Checks, and prints what was found.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let now = self.now.map_or_else(Utc::now, |now| now.0);
        let mut sources = walk(&self.path)?;
        let report = if self.fix {
            let fixed = super::fix::run(&self.path, &self.root(), sources, now)?;
            sources = fixed.sources;
            fixed.report
        } else {
            check(&sources, now)
        };
        let text = match self.format {
            // The stream takes the colours out again where they are not wanted: when it is no terminal,
            // and when `NO_COLOR` is set.
            Format::Human => human::human(&report, &sources, &self.root(), human::Style::Coloured),
            Format::Json => json::json(&report, sources.len()),
        };
        match anstream::stdout().write_all(text.as_bytes()) {
            // Who closed the pipe has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error).context("cannot write the findings");
            }
            _ => {}
        }
        Ok(Exit::from(&report))
    }

    /// What paths are shown below: nothing for the present folder.
    fn root(&self) -> PathBuf {
        if self.path == Path::new(".") { PathBuf::new() } else { self.path.clone() }
    }
}
