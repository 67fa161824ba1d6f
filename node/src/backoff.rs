//! How long to wait before trying again: exponential, with full jitter, so that a fleet of agents
//! that lost its reconciler together does not come back to it together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Waits between tries. They grow until [`Backoff::reset`].
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// For calls to the reconciler: soon again after a restart of it, and never a burden.
    pub const fn for_calls() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(30))
    }

    /// For the container engine of this host.
    pub const fn for_engine() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(10))
    }

    /// Starts with at most `first` and never waits longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// What was tried has worked.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait: a random part of the current bound.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(random_share())
    }

    fn bound(&self) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.most)
    }
}

/// A number in [0, 1). Each `RandomState` has keys of its own; jitter needs no better source.
fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let bounds: Vec<u128> = (0..6)
            .map(|_| {
                let bound = backoff.bound();
                assert!(backoff.next_wait() <= bound);
                bound.as_millis()
            })
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1000, 1000]);
        backoff.tries = u32::MAX;
        assert!(backoff.next_wait() <= Duration::from_secs(1));
        backoff.reset();
        assert_eq!(backoff.bound().as_millis(), 100);
    }
}
