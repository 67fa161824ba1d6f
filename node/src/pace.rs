//! When something may go so that there is never more of it per second than a rate allows: a bucket of tokens in the
//! form of virtual scheduling (ITU-T I.371, annex A), which holds no more than one instant.

use std::time::Duration;

use tokio::time::Instant;

/// What is booked, of bytes or of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When everything that is booked has gone.
    free_at: Instant,
    /// How much of the past may be made up for.
    burst: Duration,
}

/// The longest that one booking takes. More is a mistake in a setting, and no instant is beyond it.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Pace {
    /// Nothing is booked, and nothing was used before. What was not used may be made up for, up to so long a time of it.
    pub fn new(now: Instant, burst: Duration) -> Self {
        Self { free_at: now.checked_sub(burst).unwrap_or(now), burst }
    }

    /// Books so many at a rate per second, and says from when on they may go; an instant that is over means at once.
    pub fn book(&mut self, count: u64, rate: u64, now: Instant) -> Instant {
        let begin = self.free_at.max(now.checked_sub(self.burst).unwrap_or(now));
        let micros = u128::from(count).saturating_mul(1_000_000).div_ceil(rate.max(1).into());
        let length = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.free_at = begin + length.min(LONGEST);
        begin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u64 = 1000;

    #[test]
    fn bookings_follow_each_other_at_the_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(now, Duration::ZERO);
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
        let mut pace = Pace::new(now, Duration::ZERO);
        pace.book(1000, RATE, now);
        assert_eq!(pace.book(1000, 2000, now) - now, Duration::from_secs(1));
        assert_eq!(pace.book(1, RATE, now) - now, Duration::from_millis(1500));
        pace.book(u64::MAX, 0, now);
        assert!(pace.book(1, RATE, now) - now <= LONGEST + Duration::from_secs(2));
    }

    #[test]
    fn a_burst_makes_up_for_what_was_not_used_and_for_no_more() {
        let now = Instant::now();
        let mut pace = Pace::new(now, Duration::from_secs(2));
        let at = now + Duration::from_secs(100);
        let waits: Vec<u128> =
            (0..5).map(|_| pace.book(1000, RATE, at).saturating_duration_since(at).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 1000, 2000]);
    }

    proptest! {
        /// Between any two instants there go no more bytes than the rate allows, and one booking.
        #[test]
        fn there_is_never_more_than_the_rate(bookings in prop::collection::vec((0_u64..5000, 0_u64..3000), 1..50)) {
            let start = Instant::now();
            let (mut pace, mut now) = (Pace::new(start, Duration::ZERO), start);
            let mut gone = Vec::new();
            for (bytes, wait) in bookings {
                now += Duration::from_millis(wait);
                gone.push((pace.book(bytes, RATE, now), bytes));
            }
            for (index, (from, _)) in gone.iter().enumerate() {
                for end in index..gone.len() {
                    let bytes: u64 = gone[index..end].iter().map(|(_, bytes)| bytes).sum();
                    let allowed = (gone[end].0 - *from).as_secs_f64() * 1000.0;
                    prop_assert!(bytes as f64 <= allowed + 1.0, "{bytes} bytes where {allowed} may go");
                }
            }
        }
    }
}
