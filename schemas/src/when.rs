//! Instants as people type them: `2027-01-10T12:00:00Z`, `2027-01-10`, `now`, `today`, `-2h`, `+1d`.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use thiserror::Error;

use crate::{Duration, Instant, duration::DurationError, instant::InstantError};

/// A point in time, possibly counted from the current instant. Days begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Itself.
    At(DateTime<Utc>),
    /// So long ago.
    Before(Duration),
    /// In so long.
    After(Duration),
    /// The beginning of today, or of a day so many days from it.
    Midnight(i8),
}

/// The forms that are accepted, for help texts.
pub const FORMS: &str = "RFC 3339, a date, `now`, `today`, `yesterday`, `tomorrow`, or relative such as `-2h` and `+1d`; days begin at midnight UTC";

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WhenError {
    /// It has none of the forms.
    #[error("`{0}` is not a time: expected {FORMS}")]
    Form(String),
    /// A duration without a sign could be meant either way.
    #[error("`{0}` could be ago or ahead: write `-{0}` or `+{0}`")]
    NoSign(String),
    /// The part after the sign is wrong.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// It looks like an instant and is not one.
    #[error(transparent)]
    Instant(InstantError),
}

impl When {
    /// The instant that is meant at the current instant `now`.
    pub fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(instant) => instant,
            Self::Before(duration) => now - duration.to_delta(),
            Self::After(duration) => now + duration.to_delta(),
            Self::Midnight(days) => midnight(now.date_naive()) + chrono::TimeDelta::days(days.into()),
        }
    }
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        match text {
            "now" => return Ok(Self::After(Duration::ZERO)),
            "today" => return Ok(Self::Midnight(0)),
            "yesterday" => return Ok(Self::Midnight(-1)),
            "tomorrow" => return Ok(Self::Midnight(1)),
            _ => {}
        }
        if let Some(duration) = text.strip_prefix('-') {
            return Ok(Self::Before(duration.parse()?));
        }
        if let Some(duration) = text.strip_prefix('+') {
            return Ok(Self::After(duration.parse()?));
        }
        if text.parse::<Duration>().is_ok() {
            return Err(WhenError::NoSign(text.to_owned()));
        }
        if let Ok(date) = text.parse::<NaiveDate>()
            && date.checked_add_days(Days::new(1)).is_some()
        {
            return Ok(Self::At(midnight(date)));
        }
        match text.parse::<Instant>() {
            Ok(instant) => Ok(Self::At(instant.0)),
            Err(InstantError::Form(text)) => Err(WhenError::Form(text)),
            Err(error) => Err(WhenError::Instant(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> String {
        let now = "2027-01-10T12:34:56Z".parse::<Instant>().unwrap();
        Instant(text.parse::<When>().unwrap().resolve(now.0)).to_string()
    }

    #[test]
    fn every_form_is_understood() {
        for (text, expected) in [
            ("now", "2027-01-10T12:34:56Z"),
            ("today", "2027-01-10T00:00:00Z"),
            ("yesterday", "2027-01-09T00:00:00Z"),
            ("tomorrow", "2027-01-11T00:00:00Z"),
            ("-2h", "2027-01-10T10:34:56Z"),
            ("-1h30m", "2027-01-10T11:04:56Z"),
            ("+1d", "2027-01-11T12:34:56Z"),
            ("2027-03-01", "2027-03-01T00:00:00Z"),
            ("2027-03-01T10:00:00+01:00", "2027-03-01T09:00:00Z"),
        ] {
            assert_eq!(resolved(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_says_what_to_write() {
        let error = |text: &str| text.parse::<When>().unwrap_err().to_string();
        assert_eq!(error("2h"), "`2h` could be ago or ahead: write `-2h` or `+2h`");
        assert!(error("2027-03-01T10:00:00").contains("has no offset"), "{}", error("2027-03-01T10:00:00"));
        assert!(error("soon").starts_with("`soon` is not a time: expected RFC 3339"));
        assert!(error("-2 hours").contains("is not a duration"));
        assert!(error("").contains("is not a time"));
    }
}
