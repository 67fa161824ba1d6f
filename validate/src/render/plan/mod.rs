//! A plan as text: what a pull request changes, for people and for programs.

mod human;
mod json;
mod markdown;
mod words;

use almanac_schemas::Kind;

use crate::{
    Finding, Report,
    plan::{Preview, Shortened},
};

pub use human::human;
pub use json::{json, schema};
pub use markdown::markdown;

/// What is shown of a change.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    /// What changes and what follows from it.
    pub preview: &'a Preview<'a>,
    /// What the change starts from, in words.
    pub base: &'a str,
    /// What it leads to, in words.
    pub tree: &'a str,
    /// How many errors there are where it starts from.
    pub base_errors: usize,
    /// What is wrong with what it leads to, compared with the base.
    pub report: &'a Report,
}

impl<'a> Proposal<'a> {
    /// The findings that the change brings.
    fn new_findings(&self) -> impl Iterator<Item = &'a Finding> + use<'a> {
        self.report.findings.iter().filter(|finding| finding.new != Some(false))
    }

    /// How many findings were there before.
    fn old_findings(&self) -> usize {
        self.report.findings.iter().filter(|finding| finding.new == Some(false)).count()
            + self.report.left_out
    }

    /// One sentence on the whole.
    fn headline(&self) -> String {
        if self.preview.is_empty() { "nothing changes".to_owned() } else { self.preview.plan.summary() }
    }

    /// What else has to be said, in whole sentences without a full stop.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.base_errors > 0 {
            let errors = crate::words::counted(self.base_errors, "error");
            remarks
                .push(format!("the base does not validate ({errors}): compared is what can be read of it"));
        }
        for Shortened { job, before, after } in &self.preview.shortened {
            let whose = match job {
                Some(job) => format!("runs of `{job}`"),
                None => "runs of all jobs that declare no retention".to_owned(),
            };
            remarks.push(format!(
                "files of {whose} are kept for {after} instead of {before}: older ones are removed at once, but of kept runs"
            ));
        }
        for incomparable in &self.preview.incomparable {
            let side = if incomparable.in_base { "in the base" } else { "now" };
            remarks.push(match &incomparable.what {
                Ok((Kind::Config, _)) => format!("the settings have errors {side}, so they are not compared"),
                Ok((kind, name)) => {
                    let kind = kind.as_str().to_lowercase();
                    format!("the {kind} `{name}` has errors {side}, so it is not compared")
                }
                Err(path) => format!("the file `{path}` cannot be read {side}, so it is not compared"),
            });
        }
        remarks
    }
}
