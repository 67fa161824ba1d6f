//! Lengths of time as manifests write them: `90s`, `5m`, `1h30m`, `90d`.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::text::text_value;

/// A length of time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// The units, largest first, with their length in seconds. A year is 365 days.
const UNITS: [(&str, u64); 6] =
    [("y", 365 * 86_400), ("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// The longest duration: a hundred years. It keeps every sum of an instant and a duration in range.
const MAX_SECONDS: u64 = 100 * 365 * 86_400;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// The text does not have the form of a duration.
    #[error(
        "`{0}` is not a duration: expected whole numbers with units y, w, d, h, m, s, such as `90s` or `1h30m`"
    )]
    Form(String),
    /// A unit occurs twice, or after a smaller one.
    #[error("`{0}` is not a duration: units must go from large to small, each once, such as `1h30m`")]
    Order(String),
    /// The duration is longer than a hundred years.
    #[error("`{0}` is longer than 100 years")]
    TooLong(String),
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A duration of so many seconds; more than a hundred years is cut to a hundred years.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(if seconds > MAX_SECONDS { MAX_SECONDS } else { seconds })
    }

    /// The length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The length for sleeping and waiting.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }

    /// The length for adding to an instant.
    pub fn to_delta(self) -> chrono::TimeDelta {
        chrono::TimeDelta::seconds(self.0.cast_signed())
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let form = || DurationError::Form(text.to_owned());
        let too_long = || DurationError::TooLong(text.to_owned());
        let mut rest = text;
        let mut seconds: u64 = 0;
        let mut units = UNITS.iter();
        if rest.is_empty() {
            return Err(form());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return Err(form());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| too_long())?;
            let after = &rest[digits..];
            let unit = after.chars().next().ok_or_else(form)?;
            let known = |(name, _): &&(&str, u64)| name.starts_with(unit);
            if !UNITS.iter().any(|entry| known(&entry)) {
                return Err(form());
            }
            let (_, length) = units.find(known).ok_or_else(|| DurationError::Order(text.to_owned()))?;
            seconds = number
                .checked_mul(*length)
                .and_then(|part| seconds.checked_add(part))
                .filter(|sum| *sum <= MAX_SECONDS)
                .ok_or_else(too_long)?;
            rest = &after[1..];
        }
        Ok(Self(seconds))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut rest = self.0;
        let mut text = String::new();
        // Years and weeks are read but not written: `90d` should come back as `90d`.
        for (name, length) in UNITS.iter().filter(|(name, _)| !matches!(*name, "y" | "w")) {
            if rest >= *length {
                text.push_str(&format!("{}{name}", rest / length));
                rest %= length;
            }
        }
        f.pad(&text)
    }
}

text_value!(Duration, "duration", {
    "type": "string",
    "pattern": "^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    "minLength": 2,
    "examples": ["90s", "5m", "1h30m", "90d"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, seconds, written) in [
            ("90s", 90, "1m30s"),
            ("5m", 300, "5m"),
            ("1h30m", 5_400, "1h30m"),
            ("90d", 7_776_000, "90d"),
            ("2y", 63_072_000, "730d"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_secs(), seconds, "{text}");
            assert_eq!(duration.to_string(), written);
        }
    }

    #[test]
    fn refuses_and_says_why() {
        let error = |text: &str| text.parse::<Duration>().unwrap_err();
        for text in ["", "5", "m", "5 m", "-5m", "1.5h", "5min", "5µ", "٣s"] {
            assert!(matches!(error(text), DurationError::Form(_)), "{text}");
        }
        for text in ["30m1h", "5m5m"] {
            assert!(matches!(error(text), DurationError::Order(_)), "{text}");
        }
        for text in ["101y", "99999999999999999999s", "18446744073709551615y"] {
            assert!(matches!(error(text), DurationError::TooLong(_)), "{text}");
        }
    }
}
