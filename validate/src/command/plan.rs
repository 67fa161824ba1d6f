//! `almanac-validate plan`.

use almanac_validate::{
    Declared, Finding, Severity, novelty,
    plan::Preview,
    render::{
        human,
        plan::{self, Proposal},
    },
};
use clap::ValueEnum;

use super::{now::Now, print::print, source::Place};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Examples:
  almanac-validate plan --base origin/main
  almanac-validate plan --base v1 --rev v2
  almanac-validate plan --base origin/main --format markdown >>\"$GITHUB_STEP_SUMMARY\"

Exit codes:
  0  nothing changes
  1  the change brings errors, or its author may not make it
  2  the plan could not be made
  3  something changes";

/// Show what a change of the manifests means: a pull request, for those who review it.
///
/// It compares the folder, or a revision of it, with what it was at the base, and shows the users,
/// nodes and jobs that come, change (field by field) or go, the runs and node-hours of each job, the time
/// that is reserved on each node, the next instants, what daylight saving does to runs, and the findings
/// that the change brings.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Plan {
    #[command(flatten)]
    place: Place,

    /// The branch that the change is for, such as `origin/main`.
    ///
    /// Compared is with the merge base of it and of what is looked at.
    #[arg(long, value_name = "REV")]
    base: String,

    /// Also check that this person may make the change.
    ///
    /// Their login on the forge, or the name of a user who has none.
    #[arg(long, value_name = "LOGIN|NAME")]
    author: Option<String>,

    /// How the plan is written.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    now: Now,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For a pull request's comment or `$GITHUB_STEP_SUMMARY`, as Markdown.
    Markdown,
    /// For programs, as one JSON document (schemas/json/plan.json).
    Json,
}

impl Plan {
    /// Compares, and prints what changes.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let now = self.now.instant();
        let comparison = self.place.read_with(&self.base)?;
        let (mut report, base_errors) = comparison.check(self.author.as_deref(), now);
        let new = |finding: &&Finding| finding.severity == Severity::Error && finding.new == Some(true);
        let errors = report.findings.iter().filter(new).count();
        let (base, tree) = (Declared::new(&comparison.base.sources), Declared::new(&comparison.tree.sources));
        let preview = Preview::between(&base, &tree, now);
        let proposal = |report| Proposal {
            preview: &preview,
            base: &comparison.base.name,
            tree: &comparison.tree.name,
            base_errors,
            report,
        };
        let text = match self.format {
            Format::Human => {
                let plan = plan::human(&proposal(&report), human::Style::Coloured);
                novelty::only_new(&mut report);
                let sources = &comparison.tree.sources;
                plan + &human::human(&report, sources, &self.place.root(), human::Style::Coloured)
            }
            Format::Markdown => plan::markdown(&proposal(&report)),
            Format::Json => plan::json(&proposal(&report)),
        };
        print(|out| out.write_all(text.as_bytes()))?;
        Ok(match errors {
            0 if preview.is_empty() => Exit::Clean,
            0 => Exit::Changes,
            _ => Exit::Findings,
        })
    }
}
