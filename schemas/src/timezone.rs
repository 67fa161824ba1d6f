//! Time zones by their IANA names.

use std::{fmt, str::FromStr};

use chrono_tz::Tz;
use thiserror::Error;

use crate::text::text_value;

/// A time zone of the IANA database, such as `Europe/London`. The default is `UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timezone(pub Tz);

/// A name that the IANA database does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a time zone: expected an IANA name, such as `UTC` or `Europe/London`")]
pub struct TimezoneError(String);

impl Timezone {
    /// The names of all time zones, for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }
}

impl Default for Timezone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl FromStr for Timezone {
    type Err = TimezoneError;

    fn from_str(text: &str) -> Result<Self, TimezoneError> {
        text.parse().map(Self).map_err(|_| TimezoneError(text.to_owned()))
    }
}

impl fmt::Display for Timezone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

text_value!(Timezone, "time zone", {
    "type": "string",
    "description": "IANA time zone name.",
    "examples": ["UTC", "Europe/London"]
});
