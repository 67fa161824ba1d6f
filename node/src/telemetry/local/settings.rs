//! `[telemetry.local.NAME]` of the agent's configuration.

use std::{collections::BTreeMap, fmt, path::PathBuf, time};

use serde::Deserialize;

use almanac_schemas::Duration;

/// All sources, by their names.
pub type LocalSettings = BTreeMap<LocalName, SourceSettings>;

/// How often a source is asked where nothing is said.
const EVERY: time::Duration = time::Duration::from_secs(10);

/// How often at most, and how seldom.
const BOUNDS: std::ops::RangeInclusive<time::Duration> =
    time::Duration::from_secs(1)..=time::Duration::from_secs(24 * 3600);

/// The longest deadline where none is said.
const DEADLINE: time::Duration = time::Duration::from_secs(10);

/// A source: a command that writes JSON, or a file that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct SourceSettings {
    /// Where its JSON is.
    pub from: From,
    every: time::Duration,
    deadline: time::Duration,
}

/// Where the JSON of a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// What a program writes to its standard output.
    Command(Vec<String>),
    /// In a file.
    File(PathBuf),
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    command: Option<Vec<String>>,
    file: Option<PathBuf>,
    every: Option<Duration>,
    deadline: Option<Duration>,
}

impl TryFrom<Written> for SourceSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let from = match (written.command, written.file) {
            (Some(command), None) if command.first().is_some_and(|program| !program.is_empty()) => {
                From::Command(command)
            }
            (None, Some(file)) if file.is_absolute() => From::File(file),
            (None, Some(file)) => {
                return Err(format!("`file = \"{}\"` is not an absolute path", file.display()));
            }
            (Some(_), None) => {
                return Err("`command` is empty; expected a program and its arguments".to_owned());
            }
            _ => return Err("expected either `command = [...]` or `file = \"...\"`".to_owned()),
        };
        let every = written.every.map_or(EVERY, Duration::to_std);
        if !BOUNDS.contains(&every) {
            return Err("`every` is from 1s to 24h".to_owned());
        }
        let deadline = written.deadline.map_or(DEADLINE.min(every), Duration::to_std);
        if deadline.is_zero() || deadline > every {
            return Err("`deadline` is more than nothing, and `every` at most".to_owned());
        }
        Ok(Self { from, every, deadline })
    }
}

impl SourceSettings {
    /// How often it is asked.
    pub const fn every(&self) -> time::Duration {
        self.every
    }

    /// How long an answer may take.
    pub const fn deadline(&self) -> time::Duration {
        self.deadline
    }
}

/// The name of a source, with which the names of its fields begin: it has to be one in an expression, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalName(String);

impl LocalName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LocalName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_word =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_word && name.len() <= 32 && name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` is no name of a source: expected a-z, 0-9 and _, beginning with a letter, 32 at most"
        ))
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
