//! Amounts of bytes as manifests write them: `512MiB`, `10GiB`.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::text::text_value;

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// The units with their size in bytes: binary (IEC 80000-13) and decimal (SI).
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// The largest size, 2^62 bytes: it fits the signed 64-bit integers of databases and engines.
const MAX_BYTES: u64 = 1 << 62;

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeError {
    /// The text does not have the form of a size.
    #[error(
        "`{0}` is not a size: expected a whole number with a unit B, KiB, MiB, GiB, TiB (or kB, MB, GB, TB), such as `512MiB`"
    )]
    Form(String),
    /// The size does not fit.
    #[error("`{0}` is more than 4 EiB")]
    TooLarge(String),
}

impl Size {
    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(if bytes > MAX_BYTES { MAX_BYTES } else { bytes })
    }

    /// The size in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, bytes) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .filter(|_| digits > 0)
            .ok_or_else(|| SizeError::Form(text.to_owned()))?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*bytes))
            .filter(|bytes| *bytes <= MAX_BYTES)
            .map(Self)
            .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for Size {
    /// The largest binary unit that divides the size, so that nothing is rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = UNITS[..4]
            .iter()
            .find(|(_, bytes)| self.0 != 0 && self.0.is_multiple_of(*bytes))
            .unwrap_or(&("B", 1));
        f.pad(&format!("{}{name}", self.0 / bytes))
    }
}

text_value!(Size, "size", {
    "type": "string",
    "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$",
    "examples": ["512MiB", "10GiB"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, bytes, written) in [
            ("512MiB", 536_870_912, "512MiB"),
            ("1024MiB", 1 << 30, "1GiB"),
            ("1GB", 1_000_000_000, "1000000000B"),
            ("0B", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.as_bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), written);
        }
    }

    #[test]
    fn refuses_and_says_why() {
        for text in ["", "5", "MiB", "5 MiB", "-5MiB", "1.5GiB", "5mib", "5M"] {
            assert!(matches!(text.parse::<Size>(), Err(SizeError::Form(_))), "{text}");
        }
        for text in ["9999999TiB", "99999999999999999999999B"] {
            assert!(matches!(text.parse::<Size>(), Err(SizeError::TooLarge(_))), "{text}");
        }
    }
}
