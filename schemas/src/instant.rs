//! Instants as manifests write them: RFC 3339 with an offset.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use thiserror::Error;

use crate::text::text_value;

/// A point in time, held in UTC. It is written with `Z` and as many digits as it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub DateTime<Utc>);

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstantError {
    /// The text does not have the form of an instant.
    #[error("`{0}` is not an instant: expected RFC 3339 with an offset, such as `2027-01-10T12:00:00Z`")]
    Form(String),
    /// The text has no offset, so it could mean any of many instants.
    #[error("`{0}` has no offset: write `{0}Z` for UTC, or add one such as `+01:00`")]
    NoOffset(String),
    /// The year is outside 1970 to 9999, which is what databases and engines agree on.
    #[error("`{0}` is not between the years 1970 and 9999")]
    Range(String),
    /// The instant is finer than databases keep it, so that it would not come back as it was declared.
    #[error("`{0}` is finer than a microsecond: give six digits after the point at most")]
    TooFine(String),
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, InstantError> {
        let Ok(instant) = DateTime::parse_from_rfc3339(text) else {
            return Err(match text.parse::<NaiveDateTime>() {
                Ok(_) => InstantError::NoOffset(text.to_owned()),
                Err(_) => InstantError::Form(text.to_owned()),
            });
        };
        let instant = instant.to_utc();
        if !(0..253_402_300_800).contains(&instant.timestamp()) {
            return Err(InstantError::Range(text.to_owned()));
        }
        if instant.timestamp_subsec_nanos() % 1_000 != 0 {
            return Err(InstantError::TooFine(text.to_owned()));
        }
        Ok(Self(instant))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

text_value!(Instant, "instant", {
    "type": "string",
    "format": "date-time",
    "examples": ["2027-01-10T12:00:00Z"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offsets_and_writes_utc() {
        let instant: Instant = "2027-01-10T12:00:00+01:00".parse().unwrap();
        assert_eq!(instant.to_string(), "2027-01-10T11:00:00Z");
    }

    #[test]
    fn refuses_and_says_why() {
        let error = |text: &str| text.parse::<Instant>().unwrap_err();
        assert!(matches!(error("2027-01-10T12:00:00"), InstantError::NoOffset(_)));
        assert!(matches!(error("tomorrow"), InstantError::Form(_)));
        assert!(matches!(error("2027-01-10"), InstantError::Form(_)));
        assert!(matches!(error("2027-01-10T12:00:00.1234567Z"), InstantError::TooFine(_)));
        assert!(matches!(error("1066-10-14T09:00:00Z"), InstantError::Range(_)));
    }
}
