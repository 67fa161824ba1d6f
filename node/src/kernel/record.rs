//! `kernel.jsonl`: what was done to the kernel for a run, a line of JSON each, among the files that it leaves.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use almanac_schemas::{Instant, kernel::Setting};

use crate::clock;

/// Its name.
pub const KERNEL_LOG: &str = "kernel.jsonl";

/// How long it may be for more to be done. What is put back is recorded in any case.
const LONGEST: u64 = 4 << 20;

/// Who made a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum By {
    /// The job's manifest.
    Job,
    /// The run itself, over its socket.
    Run,
    /// The agent, which puts back what was.
    Agent,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: Instant,
    by: By,
    #[serde(skip_serializing_if = "Option::is_none")]
    sysctl: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    value: &'a str,
    /// What is in the way; absent when it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

/// Whether there is room to record more.
pub(super) fn has_room(outbox: &Path) -> bool {
    fs::metadata(outbox.join(KERNEL_LOG)).map_or(true, |found| found.len() < LONGEST)
}

/// Adds a line.
pub(super) fn add(
    outbox: &Path,
    by: By,
    setting: &Setting,
    value: &str,
    problem: Option<&str>,
) -> io::Result<()> {
    let (sysctl, file) = match setting {
        Setting::Sysctl(sysctl) => (Some(sysctl.as_str()), None),
        Setting::File(file) => (None, Some(file.as_str())),
    };
    let mut line = serde_json::to_vec(&Line { at: Instant(clock::now()), by, sysctl, file, value, problem })?;
    line.push(b'\n');
    File::options().create(true).append(true).open(outbox.join(KERNEL_LOG))?.write_all(&line)
}
