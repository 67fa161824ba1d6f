//! The rules by name.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{Severity, suggest::nearest, text::printable};

/// The rules with their names, severities and summaries, in the order in which they are listed.
macro_rules! rules {
    ($($variant:ident = $name:literal, $severity:ident, $summary:literal;)+) => {
        /// What a finding is about. Each rule is of one severity.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $summary] $variant,)+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The rule's name, such as `schedule-conflict`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How bad it is to break the rule.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// What the rule demands, in one line.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// The rule's page, `docs/rules/RULE.md`: what it is for, examples, and how to fix what it finds.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../docs/rules/", $name, ".md")),)+ }
            }
        }
    };
}

rules! {
    FileTooLarge = "file-too-large", Error, "a manifest file has at most 1 MiB";
    SymbolicLink = "symbolic-link", Error, "the tree holds no symbolic links";
    Submodule = "submodule", Error, "the tree holds no Git submodules";
    SpecialFile = "special-file", Error, "a manifest is a regular file";
    FileEncoding = "file-encoding", Error, "a manifest file is UTF-8 without control characters";
    FileName = "file-name", Error, "the name of a manifest file is UTF-8";
    PathCollision = "path-collision", Error, "paths differ by more than upper and lower case";
    Syntax = "syntax", Error, "a manifest file is YAML";
    UnknownField = "unknown-field", Error, "every field is one that its kind has";
    MissingField = "missing-field", Error, "every field that is required is there";
    InvalidValue = "invalid-value", Error, "every value has the form that its field demands";
    Cron = "cron", Error, "a cron expression is well-formed and fires at least once";
    DuplicateName = "duplicate-name", Error, "each name is declared once; users and nodes share one namespace";
    DuplicateKey = "duplicate-key", Error, "each public key belongs to one user or node";
    UnknownUser = "unknown-user", Error, "every user that is referred to is declared";
    UnknownNode = "unknown-node", Error, "every node that is referred to is declared";
    UnmatchedSelector = "unmatched-selector", Warning, "a node selector selects at least one node";
    Targets = "targets", Error, "a job runs on nodes that it lists or selects, each once";
    Server = "server", Error, "a job's server is on a node of its own, and its clients reach it";
    Access = "access", Error, "a job's owner may schedule on each of its nodes";
    KernelAccess = "kernel-access", Error, "kernel settings need a privileged owner and a node that allows them";
    HostNetwork = "host-network", Error, "a container sees its node's own network only where the node allows it";
    Schedule = "schedule", Error, "a schedule has one timing, a window and a length that agree with each other";
    ScheduleBounds = "schedule-bounds", Error, "a schedule keeps within the testbed's bounds";
    SchedulePast = "schedule-past", Warning, "a schedule does not lie in the past";
    ScheduleEmpty = "schedule-empty", Warning, "a schedule has at least one occurrence";
    SelfOverlap = "self-overlap", Error, "an exclusive job's run is over before its next one starts";
    ScheduleConflict = "schedule-conflict", Error, "two exclusive jobs never reserve a node at the same time";
    PortConflict = "port-conflict", Error, "one port of a node is for one container at a time";
    Trigger = "trigger", Error, "a trigger is a condition over what each of its nodes measures";
    Resources = "resources", Error, "a container asks for no more than its node's limits";
    Environment = "environment", Error, "the names of environment variables are valid and not reserved";
    ArtifactsPath = "artifacts-path", Error, "the folder of artifacts is an absolute path without `..`";
    ValueRange = "value-range", Error, "numbers are within their ranges";
    Heartbeat = "heartbeat", Error, "a node becomes stale after more than a heartbeat, and offline later than stale";
    Store = "store", Error, "the store of artifacts is an address that Almanac knows";
    TelemetrySource = "telemetry-source", Error, "what telemetry comes from is an address that can be asked";
    Telemetry = "telemetry", Warning, "what a node is to measure has a place and a source";
    AllowComment = "allow-comment", Warning, "a comment that silences a warning names it, gives a reason and is of use";
    Ownership = "ownership", Error, "a change is one that its author may make";
    CommitSignature = "commit-signature", Error, "where signatures are required, each commit is signed with a declared key";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not the name of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no rule `{name}`{}", suggestion.map(|rule| format!(" (did you mean `{rule}`?)")).unwrap_or_default())]
pub struct UnknownRule {
    /// The text.
    pub name: String,
    /// The rule that was probably meant.
    pub suggestion: Option<Rule>,
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        let named = |name: &str| Self::ALL.iter().copied().find(|rule| rule.as_str() == name);
        named(name).ok_or_else(|| UnknownRule {
            name: printable(name.to_owned()),
            suggestion: nearest(name, Self::ALL.iter().map(|rule| rule.as_str())).and_then(named),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_kebab_case_and_differ() {
        let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }

    #[test]
    fn a_misspelt_rule_is_recognised() {
        assert_eq!("cron".parse(), Ok(Rule::Cron));
        let error = "schedule-conflikt".parse::<Rule>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no rule `schedule-conflikt` (did you mean `schedule-conflict`?)"
        );
        assert_eq!("x".parse::<Rule>().unwrap_err().to_string(), "there is no rule `x`");
    }
}
