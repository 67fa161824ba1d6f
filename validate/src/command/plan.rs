//! `almanac-validate plan`.

use almanac_schemas::Instant;
use almanac_validate::{
    Declared, Severity, novelty,
    plan::Preview,
    render::{
        human,
        plan::{self, Proposal},
    },
};
use chrono::Utc;
use clap::ValueEnum;

use super::{print::print, source::Place};
use crate::exit::{Exit, PLAN_EXIT_CODES};

/// Show what a change of the manifests means: a pull request, for those who review it.
///
/// Compared is the folder, or a revision of it, with the merge base of that and REV. Shown are the users,
/// nodes and jobs that come, change (field by field) or go, the runs and node-hours of each job, the time
/// that is reserved on each node, the next instants, what daylight saving does to runs, and the findings
/// that the change brings.
#[derive(Debug, clap::Args)]
#[command(after_help = PLAN_EXIT_CODES)]
pub(crate) struct Plan {
    #[command(flatten)]
    place: Place,

    /// What the change is for: the branch that it is to be merged into, such as `origin/main`.
    #[arg(long, value_name = "REV")]
    base: String,

    /// Also check that this person may make the change: their login on the forge, or the name of a user
    /// who has none.
    #[arg(long, value_name = "LOGIN|NAME")]
    author: Option<String>,

    /// How the plan is written.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Take this instant for the present, so that a plan can be repeated. RFC 3339 with an offset, such
    /// as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    now: Option<Instant>,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal.
    Human,
    /// For the comment of a pull request, or `$GITHUB_STEP_SUMMARY`; fewer than 65,000 characters.
    Markdown,
    /// As one JSON document, for programs (schemas/json/plan.json).
    Json,
}

impl Plan {
    /// Compares, and prints what changes.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let now = self.now.map_or_else(Utc::now, |now| now.0);
        let comparison = self.place.read_with(&self.base)?;
        let (mut report, base_errors) = comparison.check(self.author.as_deref(), now);
        let errors = report.count(Severity::Error);
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
