//! By how much this host's clock differs from the reconciler's, by an exchange of messages.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::ClockOffset;

/// By how much the two clocks of a host may disagree on how long an exchange took: that much is between
/// reading one and the other on a busy host. By more, the clock was set meanwhile, or the host slept.
const TOLERANCE: TimeDelta = TimeDelta::milliseconds(100);

/// A message and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// When the message was sent, by the clock of this host.
    pub sent_at: DateTime<Utc>,
    /// When the answer was there, by the same clock.
    pub received_at: DateTime<Utc>,
    /// How long that took, by a clock that nobody sets.
    pub took: Duration,
    /// When the reconciler answered, by its clock.
    pub server_time: DateTime<Utc>,
}

impl Exchange {
    /// The offset of the clocks by the formula of NTP (RFC 5905, 8), where the reconciler's two instants are
    /// one: it answers at once. Nothing when the clock was set meanwhile.
    pub fn offset(&self) -> Option<ClockOffset> {
        let took = TimeDelta::from_std(self.took).ok()?;
        let passed = self.received_at - self.sent_at;
        if (passed - took).abs() > TOLERANCE {
            return None;
        }
        let there = self.server_time - self.sent_at;
        let back = self.server_time - self.received_at;
        Some(ClockOffset {
            offset_micros: ((there + back) / 2).num_microseconds()?,
            round_trip_micros: took.num_microseconds()?.cast_unsigned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange: the clock ahead by so many ms, so many ms there, and so many back.
    fn exchange(ahead: i64, there: i64, back: i64) -> Exchange {
        let truth = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let here = |millis| truth + TimeDelta::milliseconds(millis + ahead);
        Exchange {
            sent_at: here(0),
            received_at: here(there + back),
            took: Duration::from_millis((there + back).unsigned_abs()),
            server_time: truth + TimeDelta::milliseconds(there),
        }
    }

    #[test]
    fn it_is_exact_when_both_ways_take_as_long_and_off_by_half_the_difference_otherwise() {
        for (ahead, there, back, offset) in [
            (0, 20, 20, 0),
            (3_200, 20, 20, -3_200_000),
            (-3_200, 20, 20, 3_200_000),
            (0, 600, 0, 300_000),
            (0, 0, 600, -300_000),
            (86_400_000_000, 1, 1, -86_400_000_000_000),
        ] {
            let measured = exchange(ahead, there, back).offset().unwrap();
            assert_eq!(measured.offset_micros, offset);
            assert_eq!(measured.round_trip_micros, (there + back).unsigned_abs() * 1_000);
            let error = (measured.offset_micros + ahead * 1_000).unsigned_abs();
            assert!(error <= measured.round_trip_micros / 2);
        }
    }

    #[test]
    fn nothing_is_measured_while_the_clock_is_set() {
        let good = exchange(0, 20, 20);
        for millis in [-3_600_000, -101, 101, 3_600_000] {
            let set = Exchange { received_at: good.received_at + TimeDelta::milliseconds(millis), ..good };
            assert_eq!(set.offset(), None, "{millis}");
        }
        // A host that slept for a minute in between, whose other clock stood still.
        let slept = Exchange { received_at: good.received_at + TimeDelta::seconds(60), ..good };
        assert_eq!(slept.offset(), None);
        let endless = Exchange { took: Duration::MAX, ..good };
        assert_eq!(endless.offset(), None);
    }
}
