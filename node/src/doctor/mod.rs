//! `almanac-node doctor`: looks at everything that an agent needs on this host, and says what to do about what is
//! not as it should be. It needs no agent that runs, and changes nothing.

mod judge;
mod look;

use std::fmt::Write as _;

use serde::Serialize;

pub use look::examine;

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when nothing is to be done.
    pub remedy: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// As it should be.
    Good,
    /// The agent runs, and something is worth knowing.
    Warning,
    /// The agent does not run, or runs fail.
    Bad,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, health: Health::Good, found: found.into(), remedy: String::new() }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, health: Health::Warning, found: found.into(), remedy: remedy.into() }
    }

    fn bad(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, health: Health::Bad, found: found.into(), remedy: remedy.into() }
    }
}

/// Whether an agent would run here.
pub fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.health != Health::Bad)
}

/// What a person reads.
pub fn human(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.health {
            Health::Good => "ok",
            Health::Warning => "warning",
            Health::Bad => "PROBLEM",
        };
        // Writing to a text does not fail.
        let _ = writeln!(text, "{:<14}{mark:<9}{}", finding.check, finding.found);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "{:<23}-> {}", "", finding.remedy);
        }
    }
    let count = |health| findings.iter().filter(|finding| finding.health == health).count();
    let last = match (count(Health::Bad), count(Health::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, 1) => "an agent runs here; one warning".to_owned(),
        (0, warnings) => format!("an agent runs here; {warnings} warnings"),
        (1, _) => "one problem: no agent runs here as it should".to_owned(),
        (problems, _) => format!("{problems} problems: no agent runs here as it should"),
    };
    let _ = writeln!(text, "\n{last}");
    text
}
