//! A run as a row: what the index of a download lists, and what an export writes.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use almanac_schemas::{RunId, RunRole};

use crate::{
    download::relative,
    view::{self, Artifact, Part},
};

/// The names of the columns, in their order.
pub const COLUMNS: [&str; 20] = [
    "run",
    "role",
    "job",
    "node",
    "owner",
    "scheduled_at",
    "started_at",
    "ended_at",
    "phase",
    "reason",
    "exit_code",
    "duration_s",
    "start_skew_ms",
    "image",
    "image_digest",
    "commit",
    "kept",
    "message",
    "files",
    "sizes",
];

/// What separates several values in one field. Neither paths of runs nor sizes hold it.
const SEPARATOR: &str = ";";

/// A run in one of its roles. Texts that are not known are absent; so are numbers and instants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run's id.
    pub run: RunId,
    /// Which part of the job.
    pub role: RunRole,
    /// The job.
    pub job: String,
    /// The node.
    pub node: String,
    /// Whose job it is.
    pub owner: Option<String>,
    /// When it was to start.
    pub scheduled_at: Stamp,
    /// When its container started.
    pub started_at: Option<Stamp>,
    /// When its container ended.
    pub ended_at: Option<Stamp>,
    /// Where it is in its life.
    pub phase: String,
    /// Why it ended.
    pub reason: Option<String>,
    /// What its container ended with.
    pub exit_code: Option<i32>,
    /// How long its container ran, in seconds.
    pub duration_s: Option<f64>,
    /// How much later than it was to start its container started, in milliseconds.
    pub start_skew_ms: Option<f64>,
    /// The image, as its manifest names it.
    pub image: Option<String>,
    /// The digest of the image that ran.
    pub image_digest: Option<String>,
    /// The commit whose manifest it follows.
    pub commit: Option<String>,
    /// Whether somebody keeps its files.
    pub kept: bool,
    /// For people.
    pub message: Option<String>,
    /// Its files, by where a download puts them.
    pub files: Vec<FileRecord>,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path from the folder of the download, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// An instant that is always written with six digits of its second: tools that guess a format from the first row find
/// that all have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Stamp(pub DateTime<Utc>);

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.0.to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

impl TryFrom<String> for Stamp {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, chrono::ParseError> {
        Ok(Self(DateTime::parse_from_rfc3339(&text)?.to_utc()))
    }
}

impl Record {
    /// A run, without its files.
    pub fn of(part: &Part) -> Self {
        let run = &part.run;
        // Both are of the node's clock, which may have been set back meanwhile.
        let duration =
            run.started_at.zip(run.ended_at).map(|(start, end)| (end.0 - start.0).max(TimeDelta::zero()));
        Self {
            run: run.id,
            role: run.role,
            job: run.job.clone(),
            node: run.node.clone(),
            owner: run.owner.clone(),
            scheduled_at: Stamp(run.scheduled_at.0),
            started_at: run.started_at.map(|at| Stamp(at.0)),
            ended_at: run.ended_at.map(|at| Stamp(at.0)),
            phase: run.phase.to_string(),
            reason: run.reason.map(|reason| reason.to_string()),
            exit_code: run.exit_code,
            duration_s: duration.map(TimeDelta::as_seconds_f64),
            start_skew_ms: part.start_skew_micros.map(view::millis),
            image: part.image.clone(),
            image_digest: run.image_digest.clone(),
            commit: run.commit.clone(),
            kept: run.kept.is_some(),
            message: run.message.clone(),
            files: Vec::new(),
        }
    }

    /// A run with the files that are in its store.
    pub fn with_files(part: &Part) -> Self {
        let stored = part.artifacts.iter().filter(|artifact| artifact.expired_at.is_none());
        let files = stored.map(|artifact| FileRecord::of(part.run.id, artifact)).collect();
        Self { files, ..Self::of(part) }
    }

    /// Its place among others: in the order of time.
    pub fn key(&self) -> (Stamp, RunId, RunRole) {
        (self.scheduled_at, self.run, self.role)
    }

    /// The paths of its files in one text.
    pub fn paths(&self) -> String {
        let paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        paths.join(SEPARATOR)
    }

    /// The sizes of its files in one text, in the same order.
    pub fn sizes(&self) -> String {
        let sizes: Vec<String> = self.files.iter().map(|file| file.size.to_string()).collect();
        sizes.join(SEPARATOR)
    }

    /// Its fields as text, in the order of [`COLUMNS`]. What is absent is empty.
    pub fn fields(&self) -> [String; COLUMNS.len()] {
        fn text(value: Option<&impl ToString>) -> String {
            value.map(ToString::to_string).unwrap_or_default()
        }
        let stamp = |stamp: Option<Stamp>| stamp.map(String::from).unwrap_or_default();
        [
            self.run.to_string(),
            self.role.to_string(),
            self.job.clone(),
            self.node.clone(),
            text(self.owner.as_ref()),
            String::from(self.scheduled_at),
            stamp(self.started_at),
            stamp(self.ended_at),
            self.phase.clone(),
            text(self.reason.as_ref()),
            text(self.exit_code.as_ref()),
            text(self.duration_s.as_ref()),
            text(self.start_skew_ms.as_ref()),
            text(self.image.as_ref()),
            text(self.image_digest.as_ref()),
            text(self.commit.as_ref()),
            self.kept.to_string(),
            text(self.message.as_ref()),
            self.paths(),
            self.sizes(),
        ]
    }
}

impl FileRecord {
    /// A file of a run, where a download puts it.
    pub fn of(run: RunId, artifact: &Artifact) -> Self {
        Self {
            path: relative(run, artifact.role, &artifact.name),
            size: artifact.size,
            sha256: artifact.sha256.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Record {
        pub(crate) fn example() -> Self {
            Self {
                run: "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".parse().unwrap(),
                role: RunRole::Client,
                job: "ping".to_owned(),
                node: "london-01".to_owned(),
                owner: None,
                scheduled_at: Stamp("2027-01-10T12:00:00Z".parse().unwrap()),
                started_at: Some(Stamp("2027-01-10T12:00:00.0005Z".parse().unwrap())),
                ended_at: None,
                phase: "RUNNING".to_owned(),
                reason: None,
                exit_code: None,
                duration_s: None,
                start_skew_ms: Some(0.5),
                image: None,
                image_digest: None,
                commit: None,
                kept: false,
                message: None,
                files: Vec::new(),
            }
        }
    }

    /// The names in the CSV are those in the JSON, apart from the files, which are a list there.
    #[test]
    fn a_record_has_the_columns() {
        let record = Record::example();
        let json = serde_json::to_value(&record).unwrap();
        let names: Vec<&str> = COLUMNS.into_iter().filter(|column| *column != "sizes").collect();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_by_key(|key| names.iter().position(|name| name == key));
        assert_eq!(keys, names);
        assert_eq!(json["started_at"], "2027-01-10T12:00:00.000500Z");
        assert_eq!(record.fields()[5], "2027-01-10T12:00:00.000000Z");
        assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
    }
}
