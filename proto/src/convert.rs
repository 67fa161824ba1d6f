//! Between the protocol's types and those of `almanac-schemas`.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use thiserror::Error;

use almanac_schemas::{ClockOffset, Cordon, Instant, Phase, Reason, RunRole, Scavenging};

use crate::v1;

/// A field of a message that its peer should not have sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("field `{field}` {problem}")]
pub struct FieldError {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl FieldError {
    /// A field that must be set and is not.
    pub fn missing(field: &'static str) -> Self {
        Self { field, problem: "is missing".to_owned() }
    }

    /// A field whose value is wrong.
    pub fn invalid(field: &'static str, problem: impl std::fmt::Display) -> Self {
        Self { field, problem: format!("is wrong: {problem}") }
    }
}

/// An instant in the protocol's form.
pub fn timestamp(instant: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: instant.timestamp(), nanos: instant.timestamp_subsec_nanos().cast_signed() }
}

/// An instant of a message, to the microsecond, which is what stores keep.
///
/// # Errors
///
/// When it is not set or out of range.
pub fn instant(field: &'static str, timestamp: Option<&Timestamp>) -> Result<DateTime<Utc>, FieldError> {
    let timestamp = timestamp.ok_or_else(|| FieldError::missing(field))?;
    u32::try_from(timestamp.nanos)
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(timestamp.seconds, nanos / 1_000 * 1_000))
        .ok_or_else(|| FieldError::invalid(field, "no such instant"))
}

/// An instant of a message that need not be set, as [`instant`].
///
/// # Errors
///
/// When it is set and out of range.
pub fn optional_instant(
    field: &'static str,
    timestamp: Option<&Timestamp>,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    timestamp.map(|timestamp| instant(field, Some(timestamp))).transpose()
}

impl TryFrom<v1::Cordon> for Cordon {
    type Error = FieldError;

    fn try_from(message: v1::Cordon) -> Result<Self, FieldError> {
        Ok(Self {
            since: Instant(instant("since", message.since.as_ref())?),
            until: optional_instant("until", message.until.as_ref())?.map(Instant),
            stop_at: optional_instant("stop_at", message.stop_at.as_ref())?.map(Instant),
            actor: message.actor,
            reason: message.reason,
        })
    }
}

impl From<Cordon> for v1::Cordon {
    fn from(Cordon { actor, reason, since, until, stop_at }: Cordon) -> Self {
        let optional = |instant: Option<Instant>| instant.map(|instant| timestamp(instant.0));
        Self {
            actor,
            reason,
            since: Some(timestamp(since.0)),
            until: optional(until),
            stop_at: optional(stop_at),
        }
    }
}

impl TryFrom<v1::Scavenging> for Scavenging {
    type Error = FieldError;

    fn try_from(message: v1::Scavenging) -> Result<Self, FieldError> {
        Ok(Self {
            since: Instant(instant("since", message.since.as_ref())?),
            until: optional_instant("until", message.until.as_ref())?.map(Instant),
            actor: message.actor,
            reason: message.reason,
        })
    }
}

impl From<Scavenging> for v1::Scavenging {
    fn from(Scavenging { actor, reason, since, until }: Scavenging) -> Self {
        let until = until.map(|instant| timestamp(instant.0));
        Self { actor, reason, since: Some(timestamp(since.0)), until }
    }
}

impl From<ClockOffset> for v1::ClockOffset {
    fn from(ClockOffset { offset_micros, round_trip_micros }: ClockOffset) -> Self {
        Self { offset_micros, round_trip_micros }
    }
}

impl From<v1::ClockOffset> for ClockOffset {
    fn from(v1::ClockOffset { offset_micros, round_trip_micros }: v1::ClockOffset) -> Self {
        Self { offset_micros, round_trip_micros }
    }
}

/// Reads a field that is written as text: a name, a run id.
///
/// # Errors
///
/// When the text is not of that form.
pub fn parse<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, FieldError>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Err(FieldError::missing(field));
    }
    text.parse().map_err(|error| FieldError::invalid(field, error))
}

/// As [`parse`], where an empty text stands for nothing.
///
/// # Errors
///
/// When the text is not empty and not of that form.
pub fn parse_optional<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<Option<T>, FieldError>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}

/// Enumerations that have the same values on both sides, matched by their names. An unknown value
/// comes from a newer peer.
macro_rules! same_words {
    ($schema:ident, $message:ident, $prefix:literal) => {
        impl From<$schema> for v1::$message {
            fn from(value: $schema) -> Self {
                let name = format!(concat!($prefix, "{}"), value.as_str().to_uppercase());
                Self::from_str_name(&name).expect("a test shows that every value has its counterpart")
            }
        }

        impl TryFrom<v1::$message> for $schema {
            type Error = FieldError;
            fn try_from(value: v1::$message) -> Result<Self, FieldError> {
                let word = &value.as_str_name()[$prefix.len()..];
                let same = |candidate: &&$schema| candidate.as_str().eq_ignore_ascii_case(word);
                $schema::ALL
                    .iter()
                    .find(same)
                    .copied()
                    .ok_or_else(|| FieldError::missing(stringify!($message)))
            }
        }
    };
}

same_words!(Phase, Phase, "PHASE_");
same_words!(Reason, Reason, "REASON_");
same_words!(RunRole, Role, "ROLE_");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_counterpart() {
        for phase in Phase::ALL {
            assert_eq!(Phase::try_from(v1::Phase::from(*phase)), Ok(*phase));
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::try_from(v1::Reason::from(*reason)), Ok(*reason));
        }
        for role in RunRole::ALL {
            assert_eq!(RunRole::try_from(v1::Role::from(*role)), Ok(*role));
        }
        assert!(Phase::try_from(v1::Phase::Unspecified).is_err());
    }

    #[test]
    fn instants_keep_microseconds() {
        let at = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        let back = instant("at", Some(&timestamp(at))).unwrap();
        assert_eq!(back.timestamp_subsec_nanos(), 123_456_000);
        assert!(instant("at", None).is_err());
        assert!(instant("at", Some(&Timestamp { seconds: i64::MAX, nanos: 0 })).is_err());
        assert!(instant("at", Some(&Timestamp { seconds: 0, nanos: -1 })).is_err());
    }
}
