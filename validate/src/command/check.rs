//! `almanac-validate check`.

use std::{mem, time::Instant as Clock};

use almanac_validate::{check, novelty};

use super::{
    now::Now,
    output::{Found, Outputs},
    print::say,
    source::Place,
};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Examples:
  almanac-validate check
  almanac-validate check --fix
  almanac-validate check --base origin/main --author alice-example
  almanac-validate check --format github --output sarif=almanac.sarif

Exit codes:
  0  nothing was found, or warnings alone
  1  at least one error was found; with --only-new, at least one new error
  2  the check could not be run, or its findings not be written";

/// Check all manifests below a folder.
///
/// Every `*.yaml` and `*.yml` is a manifest, whatever its folder. Hidden files and folders are passed
/// over, and so is what `.almanacignore` lists, in the syntax of `.gitignore`. Nothing is changed
/// without --fix, and nothing in the folder is ever run.
///
/// The rule of a finding is in brackets after its severity: `almanac-validate explain RULE` says more.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Check {
    #[command(flatten)]
    place: Place,

    /// Mark which findings are new since this revision.
    ///
    /// It is the branch that a pull request is for, such as `origin/main`. New is what the merge base of
    /// it and of what is checked has not.
    #[arg(long, value_name = "REV")]
    base: Option<String>,

    /// Show new findings alone, and fail on those alone.
    #[arg(long, requires = "base")]
    only_new: bool,

    /// Also check that this person may make the change since the base.
    ///
    /// Their login on the forge, or the name of a user who has none.
    #[arg(long, value_name = "LOGIN|NAME", requires = "base")]
    author: Option<String>,

    #[command(flatten)]
    outputs: Outputs,

    /// Carry out the fixes in the files, and show what is left.
    ///
    /// Those that the findings name, such as that of a misspelt field. Comments and layout stay as they
    /// are.
    #[arg(long, conflicts_with = "rev")]
    fix: bool,

    #[command(flatten)]
    now: Now,
}

impl Check {
    /// Checks, and writes what was found.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        self.outputs.check()?;
        let now = self.now.instant();
        let started = Clock::now();
        if self.fix {
            let (sources, base) = match &self.base {
                None => (self.place.read()?.sources, Vec::new()),
                Some(base) => {
                    let comparison = self.place.read_with(base)?;
                    (comparison.tree.sources, comparison.base.sources)
                }
            };
            super::fix::run(self.place.path(), &self.place.root(), sources, &base, now)?;
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
        if sources.is_empty() {
            // A folder that was misspelt looks like one without mistakes.
            say(&format!("note: there is no `*.yaml` or `*.yml` below `{}`", self.place.path().display()));
        }
        let found = Found { report: &report, sources: &sources, folder: &self.place.root(), elapsed };
        let errors = self.outputs.write(&found);
        for error in &errors {
            say(&format!("error: {error:#}"));
        }
        let exit = if errors.is_empty() { Exit::from(&report) } else { Exit::CouldNotRun };
        // The program ends here. To give back the memory of ten thousand manifests piece by piece takes
        // a tenth of the time of the check.
        mem::forget(sources);
        Ok(exit)
    }
}
