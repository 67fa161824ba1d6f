//! When to look again after a look that failed: soon at first, then more and more rarely, and never at the
//! same moment as everybody else who lost the same server.

use std::time::Duration;

/// The most that is waited after the first failure.
const FIRST: Duration = Duration::from_secs(2);

/// The most that is waited after any.
const MOST: Duration = Duration::from_secs(300);

/// How long to wait after so many failures in a row: between a half and the whole of a bound that doubles.
/// `share` is a random number from 0 to 1.
pub fn wait(failures: u32, share: f64) -> Duration {
    let doublings = failures.saturating_sub(1);
    let bound = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(MOST);
    bound.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let most: Vec<u64> = (1..=9).map(|failures| wait(failures, 1.0).as_secs()).collect();
        assert_eq!(most, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(wait(u32::MAX, 1.0), MOST);
        assert_eq!(wait(3, 0.0), Duration::from_secs(4));
        assert_eq!(wait(3, 0.5), Duration::from_secs(6));
        assert_eq!(wait(0, 1.0), FIRST);
    }
}
