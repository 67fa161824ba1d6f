//! `almanac-validate check`.

use std::{io::Write, path::PathBuf, time::Instant as Clock};

use almanac_schemas::Instant;
use almanac_validate::{check, walk};
use chrono::Utc;

use super::output::{Found, Outputs};
use crate::exit::{EXIT_CODES, Exit};

/// Check all manifests below a folder.
///
/// Every `*.yaml` and `*.yml` is a manifest, whatever its folder. Hidden files and folders are passed
/// over, and so is what `.almanacignore` lists, in the syntax of `.gitignore`. Nothing is changed, and
/// nothing in the folder is ever run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    /// The folder.
    #[arg(default_value = ".")]
    path: PathBuf,

    #[command(flatten)]
    outputs: Outputs,

    /// Take this instant for the present, so that a check can be repeated: only what happens from then
    /// on counts. RFC 3339 with an offset, such as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    now: Option<Instant>,
}

impl Check {
    /// Checks, and writes what was found.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        self.outputs.check()?;
        let now = self.now.map_or_else(Utc::now, |now| now.0);
        let started = Clock::now();
        let sources = walk(&self.path)?;
        let report = check(&sources, now);
        let elapsed = started.elapsed();
        let found = Found { report: &report, sources: &sources, folder: &self.path, elapsed };
        let errors = self.outputs.write(&found);
        for error in &errors {
            // There is nobody left to tell when this fails as well.
            let _ = writeln!(anstream::stderr(), "error: {error:#}");
        }
        Ok(if errors.is_empty() { Exit::from(&report) } else { Exit::CouldNotRun })
    }
}
