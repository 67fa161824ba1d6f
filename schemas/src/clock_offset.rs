//! By how much the clock of a node differs from the reconciler's, and when that is too much.

use std::fmt;

use serde::{Deserialize, Serialize};

/// By how much a node's clock differs from the reconciler's, as an exchange of messages measured it.
///
/// It is shown as `3.2 s behind the reconciler's` or `12 ms ahead of the reconciler's`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockOffset {
    /// What to add to the node's clock to get the reconciler's, in microseconds: above zero, the node's
    /// clock is behind.
    pub offset_micros: i64,
    /// How long the exchange took. The offset is off by at most half of it.
    pub round_trip_micros: u64,
}

impl ClockOffset {
    /// By how much clocks may differ, in microseconds. Beyond it, runs of several nodes begin visibly apart.
    pub const TOLERANCE_MICROS: u64 = 1_000_000;

    /// Whether the clocks certainly differ by more than they may, whichever way of the exchange was the slower.
    pub const fn is_too_large(self) -> bool {
        let certain = self.offset_micros.unsigned_abs().saturating_sub(self.round_trip_micros / 2);
        certain > Self::TOLERANCE_MICROS
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000;
        let micros = self.offset_micros.unsigned_abs();
        let seconds = micros / SECOND;
        match seconds {
            0 => write!(f, "{} ms", micros / 1_000)?,
            1..120 => write!(f, "{seconds}.{} s", micros % SECOND / 100_000)?,
            120..7_200 => write!(f, "{} min", seconds / 60)?,
            7_200..172_800 => write!(f, "{} h", seconds / 3_600)?,
            _ => write!(f, "{} d", seconds / 86_400)?,
        }
        f.write_str(if self.offset_micros < 0 {
            " ahead of the reconciler's"
        } else {
            " behind the reconciler's"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset_micros: i64, round_trip_micros: u64) -> ClockOffset {
        ClockOffset { offset_micros, round_trip_micros }
    }

    #[test]
    fn it_is_too_large_when_no_way_of_the_exchange_explains_it() {
        for (micros, round_trip, expected) in [
            (0, 0, false),
            (1_000_000, 0, false),
            (1_000_001, 0, true),
            (-1_000_001, 0, true),
            (1_500_000, 1_000_000, false),
            (-1_600_000, 1_000_000, true),
            (i64::MIN, 0, true),
            (i64::MAX, u64::MAX, false),
        ] {
            assert_eq!(offset(micros, round_trip).is_too_large(), expected, "{micros} {round_trip}");
        }
    }

    #[test]
    fn it_is_shown_in_one_unit() {
        for (micros, text) in [
            (0, "0 ms behind"),
            (-12_345, "12 ms ahead of"),
            (3_249_000, "3.2 s behind"),
            (-119_999_999, "119.9 s ahead of"),
            (120_000_000, "2 min behind"),
            (7_200_000_000, "2 h behind"),
            (172_800_000_000, "2 d behind"),
            (i64::MIN, "106751991 d ahead of"),
        ] {
            assert_eq!(offset(micros, 0).to_string(), format!("{text} the reconciler's"));
        }
    }
}
