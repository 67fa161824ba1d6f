//! What the commands that show and find time have in common: a folder, the testbed that it declares, and
//! some of its nodes.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use almanac_schemas::NodeName;
use almanac_validate::{Severity, Testbed, calendar::Calendar, check, walk};
use chrono::{DateTime, Utc};

/// How many errors are told of: the check tells of all.
const TOLD: usize = 3;

/// The testbed that a folder declares. When there are errors, there is none, and standard error says so.
pub(super) fn read(path: &Path, now: DateTime<Utc>) -> anyhow::Result<Option<Testbed>> {
    let sources = walk(path)?;
    let report = check(&sources, now);
    if let Some(testbed) = report.testbed(&sources) {
        return Ok(Some(testbed));
    }
    let mut text = String::new();
    let count = report.count(Severity::Error);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    for error in errors.take(TOLD) {
        if let Some(location) = &error.location {
            text += &format!(
                "{}:{}:{}: ",
                shown(path).join(&location.file).display(),
                location.line,
                location.column
            );
        }
        text += &format!("{}\n", error.message);
    }
    if count > TOLD {
        text += &format!("and {} more\n", count - TOLD);
    }
    let errors = if count == 1 { "an error".to_owned() } else { format!("{count} errors") };
    // `.` is what the command takes by itself.
    let argument = if path == Path::new(".") { String::new() } else { format!(" {}", path.display()) };
    text += &format!(
        "error: the manifests have {errors}, so that there is no telling what happens when: run `almanac-validate check{argument}`\n"
    );
    note(&text);
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
    let names: Vec<_> = calendars.iter().map(|calendar| format!("`{}`", calendar.node())).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "no node".to_owned(),
    }
}

/// Says something on standard error. Where that is closed there is nobody to tell.
pub(super) fn note(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// What paths are shown below: nothing for the present folder.
pub(super) fn shown(path: &Path) -> PathBuf {
    if path == Path::new(".") { PathBuf::new() } else { path.to_owned() }
}
