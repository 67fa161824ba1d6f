//! When to try again what failed: soon at first, then more and more rarely, and never at the same moment as
//! everybody else who lost the same server.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// How long to wait after failures.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The most that is waited after the first failure.
    pub first: Duration,
    /// The most that is waited after any.
    pub most: Duration,
}

impl Backoff {
    /// How long to wait after so many failures in a row: between a half and the whole of a bound that doubles.
    /// `share` is a random number from 0 to 1.
    pub fn wait(self, failures: u32, share: f64) -> Duration {
        let doublings = failures.saturating_sub(1);
        let bound = self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.most);
        bound.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
    }
}

/// A number from 0 to 1. Each `RandomState` has keys of its own; jitter needs no better source.
pub fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(300) };
        let most: Vec<u64> = (1..=9).map(|failures| backoff.wait(failures, 1.0).as_secs()).collect();
        assert_eq!(most, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff.wait(u32::MAX, 1.0), backoff.most);
        assert_eq!(backoff.wait(3, 0.0), Duration::from_secs(4));
        assert_eq!(backoff.wait(3, 0.5), Duration::from_secs(6));
        assert_eq!(backoff.wait(0, 1.0), backoff.first);
    }
}
