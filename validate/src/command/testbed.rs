//! What the commands that show and find time have in common: the testbed that a tree declares, and some of
//! its nodes.

use std::sync::Arc;

use almanac_schemas::NodeName;
use almanac_validate::{
    Severity, Testbed,
    calendar::Calendar,
    check,
    render::place,
    words::{counted, listed},
};
use chrono::{DateTime, Utc};

use super::{print::say, source::Place};

/// How many errors are told of: the check tells of all.
const TOLD: usize = 3;

/// The testbed that a tree declares. When there are errors, there is none, and standard error says so.
pub(super) fn read(tree: &Place, now: DateTime<Utc>) -> anyhow::Result<Option<Arc<Testbed>>> {
    let sources = tree.read()?.sources;
    let report = check(&sources, now);
    if let Some(testbed) = report.testbed() {
        return Ok(Some(Arc::clone(testbed)));
    }
    let count = report.count(Severity::Error);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let root = tree.root();
    for error in errors.take(TOLD) {
        let place = error.location.as_ref().map(|location| format!("{}: ", place(&root, location)));
        say(&format!("{}{}", place.unwrap_or_default(), error.message));
    }
    if count > TOLD {
        say(&format!("and {} more", count - TOLD));
    }
    say(&format!(
        "error: the manifests have {}, so that there is no telling what happens when: run `almanac-validate check{}`",
        counted(count, "error"),
        tree.arguments(),
    ));
    Ok(None)
}

/// The calendars of the named nodes, each once; of all when none is named.
pub(super) fn calendars<'t>(testbed: &'t Testbed, nodes: &[NodeName]) -> anyhow::Result<Vec<Calendar<'t>>> {
    if nodes.is_empty() {
        return Ok(Calendar::all(testbed));
    }
    let mut calendars: Vec<Calendar<'_>> = Vec::new();
    for node in nodes {
        if !calendars.iter().any(|calendar| calendar.node() == node) {
            calendars.push(Calendar::new(testbed, node)?);
        }
    }
    Ok(calendars)
}

/// "`a`, `b` and `c`".
pub(super) fn named(calendars: &[Calendar<'_>]) -> String {
    listed(calendars.iter().map(|calendar| calendar.node().as_str()))
}
