//! `almanac-validate check`.

use std::{io::Write, mem, time::Instant as Clock};

use almanac_schemas::Instant;
use almanac_validate::{check, novelty};
use chrono::Utc;

use super::{
    output::{Found, Outputs},
    source::Place,
};
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
    #[command(flatten)]
    place: Place,

    /// Mark which findings are new: those that the merge base of REV and of what is checked has not. REV
    /// is the branch that a pull request is for, such as `origin/main`.
    #[arg(long, value_name = "REV")]
    base: Option<String>,

    /// Show new findings alone, and end with 1 only if one of them is an error.
    #[arg(long, requires = "base")]
    only_new: bool,

    /// Also check that this person may make the change since REV: their login on the forge, or the name
    /// of a user who has none.
    #[arg(long, value_name = "LOGIN|NAME", requires = "base")]
    author: Option<String>,

    #[command(flatten)]
    outputs: Outputs,

    /// Take this instant for the present, so that a check can be repeated: only what happens from then
    /// on counts. RFC 3339 with an offset, such as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    now: Option<Instant>,

    /// Carry out every fix that is certain, such as a misspelt field, in the files themselves. Comments
    /// and layout stay as they are. What is left is printed.
    #[arg(long, conflicts_with = "rev")]
    fix: bool,
}

impl Check {
    /// Checks, and writes what was found.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        self.outputs.check()?;
        let now = self.now.map_or_else(Utc::now, |now| now.0);
        let started = Clock::now();
        if self.fix {
            super::fix::run(self.place.path(), &self.place.root(), self.place.read()?.sources, now)?;
        }
        let (sources, mut report) = match &self.base {
            None => {
                let tree = self.place.read()?;
                let report = check(&tree.sources, now);
                (tree.sources, report)
            }
            Some(base) => {
                let comparison = self.place.read_with(base)?;
                let (report, _) = comparison.check(self.author.as_deref(), now);
                (comparison.tree.sources, report)
            }
        };
        if self.only_new {
            novelty::only_new(&mut report);
        }
        let elapsed = started.elapsed();
        let found = Found { report: &report, sources: &sources, folder: &self.place.root(), elapsed };
        let errors = self.outputs.write(&found);
        for error in &errors {
            // There is nobody left to tell when this fails as well.
            let _ = writeln!(anstream::stderr(), "error: {error:#}");
        }
        let exit = if errors.is_empty() { Exit::from(&report) } else { Exit::CouldNotRun };
        // The program ends here. To give back the memory of ten thousand manifests piece by piece takes
        // a tenth of the time of the check.
        mem::forget(sources);
        Ok(exit)
    }
}
