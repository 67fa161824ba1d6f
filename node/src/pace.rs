//! When bytes may go so that there are never more of them per second than a rate allows: a bucket of tokens in the
//! form of virtual scheduling (ITU-T I.371, annex A), which holds no more than one instant.

use std::time::Duration;

use tokio::time::Instant;

use almanac_schemas::Size;

/// What is booked of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When everything that is booked has gone.
    free_at: Instant,
}

/// The longest that one booking takes. More is a mistake in a setting, and no instant is beyond it.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Pace {
    /// A link of which nothing is booked.
    pub const fn new(now: Instant) -> Self {
        Self { free_at: now }
    }

    /// Books so many bytes at a rate per second, and says from when on they may go. What was not used in the past is
    /// not made up for: whoever waited has no right to a flood.
    pub fn book(&mut self, bytes: usize, rate: Size, now: Instant) -> Instant {
        let begin = self.free_at.max(now);
        let rate = u128::from(rate.as_bytes().max(1));
        let micros = (bytes as u128).saturating_mul(1_000_000).div_ceil(rate);
        let length = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.free_at = begin + length.min(LONGEST);
        begin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Size = Size::from_bytes(1000);

    #[test]
    fn bookings_follow_each_other_at_the_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let after = |pace: &mut Pace, bytes, millis| {
            let at = now + Duration::from_millis(millis);
            (pace.book(bytes, RATE, at) - now).as_millis()
        };
        assert_eq!(after(&mut pace, 500, 0), 0);
        assert_eq!(after(&mut pace, 500, 0), 500);
        assert_eq!(after(&mut pace, 1000, 700), 1000);
        // After a while in which nobody wanted anything.
        assert_eq!(after(&mut pace, 1000, 10_000), 10_000);
        assert_eq!(after(&mut pace, 0, 10_000), 11_000);
    }

    #[test]
    fn another_rate_holds_from_the_next_booking_on() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.book(1000, RATE, now);
        assert_eq!(pace.book(1000, Size::from_bytes(2000), now) - now, Duration::from_secs(1));
        assert_eq!(pace.book(1, RATE, now) - now, Duration::from_millis(1500));
        pace.book(usize::MAX, Size::from_bytes(0), now);
        assert!(pace.book(1, RATE, now) - now <= LONGEST + Duration::from_secs(2));
    }

    proptest! {
        /// Between any two instants there go no more bytes than the rate allows, and one booking.
        #[test]
        fn there_is_never_more_than_the_rate(bookings in prop::collection::vec((0_usize..5000, 0_u64..3000), 1..50)) {
            let start = Instant::now();
            let (mut pace, mut now) = (Pace::new(start), start);
            let mut gone = Vec::new();
            for (bytes, wait) in bookings {
                now += Duration::from_millis(wait);
                gone.push((pace.book(bytes, RATE, now), bytes));
            }
            for (index, (from, _)) in gone.iter().enumerate() {
                for end in index..gone.len() {
                    let bytes: usize = gone[index..end].iter().map(|(_, bytes)| bytes).sum();
                    let allowed = (gone[end].0 - *from).as_secs_f64() * 1000.0;
                    prop_assert!(bytes as f64 <= allowed + 1.0, "{bytes} bytes where {allowed} may go");
                }
            }
        }
    }
}
