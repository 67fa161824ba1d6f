//! What is wrong with a commit, or questionable.

use serde::Serialize;

use almanac_proto::v1;

use crate::view;

/// Something wrong or questionable in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: Option<String>,
    /// From 1; `null` where it concerns a file as a whole.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// The line in which it ends.
    pub end_line: Option<u32>,
    /// The column before which it ends.
    pub end_column: Option<u32>,
    /// What to do.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The commit is rejected.
    Error,
    /// It is not.
    Warning,
}

impl From<v1::Finding> for Finding {
    fn from(finding: v1::Finding) -> Self {
        let known = |number: u32| (number > 0).then_some(number);
        Self {
            rule: finding.rule,
            severity: if finding.severity == "warning" { Severity::Warning } else { Severity::Error },
            message: finding.message,
            file: view::text(finding.file),
            line: known(finding.line),
            column: known(finding.column),
            end_line: known(finding.end_line),
            end_column: known(finding.end_column),
            help: view::text(finding.help),
        }
    }
}

impl Finding {
    /// As a compiler would say it.
    pub fn text(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = [self.file.clone(), self.line.map(|n| n.to_string()), self.column.map(|n| n.to_string())];
        let place: Vec<_> = place.into_iter().map_while(|part| part).collect();
        let place = if place.is_empty() { String::new() } else { place.join(":") + " " };
        let mut text = format!("{severity}[{}] {place}{}\n", self.rule, self.message);
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {help}\n"));
        }
        text
    }
}
