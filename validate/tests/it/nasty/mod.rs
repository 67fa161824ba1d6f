//! Input that is broken or hostile: it gets a finding with a place, and takes no time.

mod bytes;
mod files;
mod floods;
mod keys;
mod scalars;
mod structure;

use std::sync::Arc;

use almanac_validate::{Entry, Finding, Source, check};

fn findings(bytes: &[u8]) -> Vec<Finding> {
    let source = Arc::new(Source::read("a.yaml", Entry::File(bytes)));
    check(&[source], "2026-11-24T00:00:00Z".parse().unwrap()).findings
}

/// The findings as "rule line:column message".
fn lines(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let line = |finding: Finding| {
        let location = finding.location.unwrap();
        format!("{} {}:{} {}", finding.rule, location.line, location.column, finding.message)
    };
    findings(bytes.as_ref()).into_iter().map(line).collect()
}

/// What helps against the first finding.
fn help(bytes: impl AsRef<[u8]>) -> String {
    findings(bytes.as_ref()).remove(0).help.unwrap()
}

const NONE: [&str; 0] = [];

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec:\n  role: admin\n";

/// A user and a node, with a field of the node on line 12.
fn node(field: &str) -> String {
    format!(
        "{USER}---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n }}\nspec:\n  owner: alice\n  {field}\n"
    )
}

/// A user, a node and a job, with a field of the job on line 21.
fn job(field: &str) -> String {
    let node = node("");
    format!(
        "{node}---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j }}\nspec:\n  owner: alice\n  nodes: [n]\n  \
         container: {{ image: x }}\n  {field}\n  schedule: {{ at: 2027-01-10T12:00:00Z, length: 1m }}\n"
    )
}
