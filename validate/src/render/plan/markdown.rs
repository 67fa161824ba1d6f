//! A plan for a pull request's comment, and for the summary of a workflow.
//!
//! Whatever a manifest says is shown as code: on a forge, code holds no links, no mentions of people or
//! issues, no markup and no HTML.

use std::fmt::Write;

use almanac_schemas::{Kind, Timezone};

use super::{Proposal, words};
use crate::{
    Severity,
    plan::Action,
    render::markdown::{MAX_LENGTH, code, inline},
};

/// How many rows a table has at most, from what is wanted to what always fits.
const ROWS: [usize; 9] = [500, 250, 100, 50, 25, 10, 5, 1, 0];

/// How long a value of a field may be.
const VALUE: usize = 80;

/// Shows a plan in fewer than [`MAX_LENGTH`] bytes.
pub fn markdown(proposal: &Proposal<'_>) -> String {
    let texts = ROWS.into_iter().map(|rows| Page { rows, text: String::new() }.write(proposal));
    let mut last = String::new();
    for text in texts {
        if text.len() < MAX_LENGTH {
            return text;
        }
        last = text;
    }
    // Without any row only the names of revisions are left to be long, and they are cut.
    last
}

struct Page {
    rows: usize,
    text: String,
}

impl Page {
    fn write(mut self, proposal: &Proposal<'_>) -> String {
        let (base, tree) = (code(&words::cut(proposal.base, VALUE)), code(&words::cut(proposal.tree, VALUE)));
        let _ = writeln!(self.text, "### Plan: {}\n\nFrom {base} to {tree}.", proposal.headline());
        self.remarks(proposal);
        self.findings(proposal);
        self.things(proposal);
        self.jobs(proposal);
        self.fields(proposal);
        self.times(proposal);
        self.next(proposal);
        self.clocks(proposal);
        self.text
    }

    fn remarks(&mut self, proposal: &Proposal<'_>) {
        let remarks = proposal.remarks();
        self.table(None, &["note"], remarks.iter().map(|remark| vec![inline(&words::cut(remark, 200))]));
    }

    fn findings(&mut self, proposal: &Proposal<'_>) {
        let new: Vec<_> = proposal.new_findings().collect();
        let rows = new.iter().map(|finding| {
            let place = finding.location.as_ref().map_or(String::new(), |location| {
                code(&words::cut(&format!("{}:{}", location.file, location.line), VALUE))
            });
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            vec![
                severity.to_owned(),
                code(finding.rule.as_str()),
                place,
                inline(&words::cut(&finding.message, 300)),
            ]
        });
        self.table(Some("New findings"), &["", "rule", "place", "what is wrong"], rows);
        let old = proposal.old_findings();
        if old > 0 {
            let _ = writeln!(self.text, "\n{} of the base not shown.", crate::words::counted(old, "finding"));
        }
    }

    fn things(&mut self, proposal: &Proposal<'_>) {
        let actions: Vec<_> =
            proposal.preview.plan.actions().filter(|(kind, ..)| *kind != Kind::Job).collect();
        let rows = actions.iter().map(|(kind, name, action)| {
            let name = if *kind == Kind::Config { String::new() } else { code(name) };
            vec![action.as_str().to_owned(), kind.as_str().to_lowercase(), name]
        });
        self.table(Some("Users, nodes and settings"), &["", "kind", "name"], rows);
    }

    fn jobs(&mut self, proposal: &Proposal<'_>) {
        let rows = proposal.preview.jobs.iter().map(|job| {
            let (runs, hours) = words::load(job.before, job.after);
            vec![
                job.action().as_str().to_owned(),
                code(job.name.as_str()),
                code(job.spec().owner.as_str()),
                code(&words::names(&job.nodes, 3)),
                code(&words::cut(&words::schedule(job.spec()), VALUE)),
                code(&runs),
                code(&hours),
            ]
        });
        let titles = ["", "job", "owner", "nodes", "schedule", "runs per day", "node-hours per week"];
        self.table(Some("Jobs"), &titles, rows);
        let moved = proposal.preview.moved.iter().map(|moved| {
            vec![
                code(moved.job.as_str()),
                code(&words::names(&moved.gained, 3)),
                code(&words::names(&moved.lost, 3)),
            ]
        });
        self.table(
            Some("Jobs that are as they were and run elsewhere"),
            &["job", "also on", "no longer on"],
            moved,
        );
    }

    fn fields(&mut self, proposal: &Proposal<'_>) {
        let changes: Vec<_> = proposal
            .preview
            .renewed
            .iter()
            .flat_map(|renewed| renewed.fields.iter().map(move |field| (renewed, field)))
            .collect();
        let rows = changes.iter().map(|(renewed, field)| {
            vec![
                format!("{} {}", renewed.kind.as_str().to_lowercase(), code(renewed.name)),
                code(&words::cut(&field.name(), VALUE)),
                code(&words::value(field.before.as_ref(), VALUE)),
                code(&words::value(field.after.as_ref(), VALUE)),
            ]
        });
        self.table(Some("Changed fields"), &["of", "field", "before", "after"], rows);
    }

    fn times(&mut self, proposal: &Proposal<'_>) {
        let rows =
            proposal.preview.times.iter().map(|time| {
                vec![code(time.node.as_str()), words::share(time.before), words::share(time.after)]
            });
        self.table(
            Some("Time reserved by exclusive jobs, over four weeks from now"),
            &["node", "before", "after"],
            rows,
        );
    }

    fn next(&mut self, proposal: &Proposal<'_>) {
        let coming = proposal.preview.jobs.iter().filter(|job| job.action() != Action::Removed);
        let rows = coming.map(|job| {
            let zone = job.spec().schedule.timezone;
            let listed = |instants: Vec<String>| match instants.as_slice() {
                [] => "never".to_owned(),
                instants => instants.join("<br>"),
            };
            vec![
                code(job.name.as_str()),
                listed(job.next.iter().map(|at| words::instant(*at)).collect()),
                if zone == Timezone::default() {
                    String::new()
                } else {
                    listed(job.next.iter().map(|at| words::instant_in(*at, zone)).collect())
                },
            ]
        });
        let mut rows: Vec<_> = rows.collect();
        let mut titles = vec!["job", "UTC", "in the job's time zone"];
        if rows.iter().all(|row| row[2].is_empty()) {
            titles.pop();
            rows.iter_mut().for_each(|row| drop(row.pop()));
        }
        self.table(Some("Next runs"), &titles, rows.into_iter());
    }

    fn clocks(&mut self, proposal: &Proposal<'_>) {
        let transitions: Vec<_> = proposal
            .preview
            .jobs
            .iter()
            .flat_map(|job| job.transitions.iter().map(move |transition| (job, transition)))
            .collect();
        let rows = transitions.iter().map(|(job, transition)| {
            vec![
                code(job.name.as_str()),
                words::instant(transition.at),
                words::shift(transition.shift),
                words::effect(transition),
            ]
        });
        self.table(
            Some("Clocks that are set while a job runs"),
            &["job", "UTC", "clocks", "what happens"],
            rows,
        );
    }

    /// A table, if there is anything to show, and a line for what was left out.
    fn table(
        &mut self,
        title: Option<&str>,
        titles: &[&str],
        rows: impl ExactSizeIterator<Item = Vec<String>>,
    ) {
        let count = rows.len();
        if count == 0 {
            return;
        }
        if let Some(title) = title {
            let _ = write!(self.text, "\n#### {title}\n");
        }
        if self.rows > 0 {
            let _ = writeln!(self.text, "\n| {} |\n|{}", titles.join(" | "), " --- |".repeat(titles.len()));
            for row in rows.take(self.rows) {
                let _ = writeln!(self.text, "| {} |", row.join(" | "));
            }
        }
        if count > self.rows {
            let left = count - self.rows;
            let more = if self.rows == 0 { "" } else { " more" };
            let _ = writeln!(self.text, "\n{left}{more} left out here; `almanac-validate plan` shows them.");
        }
    }
}
