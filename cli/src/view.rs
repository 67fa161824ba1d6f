//! What is shown of each thing. The JSON form of these types is a promise (docs/cli.md): a field
//! may be added, none is renamed or left out, and what is not known is `null`.

mod artifact;
mod change;
mod condition;
mod detail;
mod finding;
mod host;
mod identity;
mod job;
mod node;
mod occurrence;
mod pair;
mod run;
mod saved;
mod status;
mod steering;
mod sync;
mod telemetry;

pub use artifact::Artifact;
pub use change::{Action, Change, RecordedChange};
pub use condition::Condition;
pub use detail::{RunDetail, Side, Step};
pub use finding::{Finding, Severity};
pub use host::Host;
pub use identity::Identity;
pub use job::Job;
pub use node::{Liveness, Node};
pub use occurrence::Occurrence;
pub(crate) use run::millis;
pub use run::{Keep, Part, Run};
pub use saved::{Saved, State};
pub use status::{LaggingNode, SyncStatus};
pub use steering::{Hold, Pinned, SyncAction};
pub use sync::{Outcome, Sync, SyncDetail};
pub use telemetry::{Measured, Reading};

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use almanac_proto::convert::{self, FieldError};
use almanac_schemas::Instant;

use crate::relative::distance;

/// How many characters of a run id or commit tables show.
const SHORT: usize = 8;

/// The `spec` of a manifest. It is not read as one of this version's types: a reconciler may be
/// newer and know more fields. This kind of value keeps the fields' order, and writes JSON as well
/// as YAML.
pub type Spec = serde_yaml::Value;

fn spec(field: &'static str, json: &str) -> Result<Spec, FieldError> {
    serde_json::from_str(json).map_err(|error| FieldError::invalid(field, error))
}

/// A text that an empty one stands for the lack of.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn instant(field: &'static str, timestamp: Option<&Timestamp>) -> Result<Instant, FieldError> {
    convert::instant(field, timestamp).map(Instant)
}

fn maybe_instant(field: &'static str, timestamp: Option<&Timestamp>) -> Result<Option<Instant>, FieldError> {
    timestamp.map(|timestamp| instant(field, Some(timestamp))).transpose()
}

/// A value of one of the protocol's enumerations; one that this version does not know is wrong.
fn word<M, T>(field: &'static str, value: i32) -> Result<T, FieldError>
where
    M: TryFrom<i32>,
    T: TryFrom<M>,
{
    let known = M::try_from(value).ok().and_then(|value| T::try_from(value).ok());
    known.ok_or_else(|| FieldError::invalid(field, format!("{value} is not known to this version")))
}

fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

fn ago(instant: Option<Instant>, now: DateTime<Utc>) -> String {
    instant.map_or_else(|| "-".to_owned(), |instant| distance(instant.0, now))
}

/// An instant and its distance, for where there is room.
fn both(instant: Option<Instant>, now: DateTime<Utc>) -> String {
    instant.map_or_else(
        || "-".to_owned(),
        |instant| format!("{} ({})", to_the_second(instant), distance(instant.0, now)),
    )
}

fn to_the_second(instant: Instant) -> String {
    instant.0.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A heading and a `spec` below it, as a manifest would write it.
fn spec_text(spec: &Spec) -> String {
    let yaml = serde_yaml::to_string(spec).unwrap_or_else(|error| format!("cannot be shown: {error}\n"));
    let lines = yaml.lines().map(|line| format!("  {line}\n"));
    std::iter::once("\nspec:\n".to_owned()).chain(lines).collect()
}

/// A size for people, in the largest unit that it has one of.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
