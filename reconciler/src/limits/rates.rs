//! How often one may call.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use almanac_schemas::PrincipalName;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use thiserror::Error;

use super::Limits;

/// How many addresses are remembered for calling without a valid token. Beyond it those whose time is
/// over are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// A caller who has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TooMany {
    /// A principal makes more calls than it may.
    #[error("you make more calls than {per_second} per second; try again in {} ms", after.as_millis())]
    Calls {
        /// How many it may make in the long run.
        per_second: u32,
        /// When the next one is taken.
        after: Duration,
    },
    /// Too many calls without a valid token come from an address.
    #[error("too many calls without a valid token come from your address; try again in {} ms", after.as_millis())]
    Failures {
        /// When the next one is looked at.
        after: Duration,
    },
}

impl TooMany {
    /// How long to wait.
    pub fn after(self) -> Duration {
        match self {
            Self::Calls { after, .. } | Self::Failures { after } => after,
        }
    }
}

/// How often each caller has called lately.
#[derive(Debug)]
pub struct Rates {
    limits: Limits,
    calls: DefaultKeyedRateLimiter<PrincipalName>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    /// Addresses that had too many failures, and until when they have to wait.
    waiting: Mutex<HashMap<IpAddr, Instant>>,
}

impl Rates {
    /// Nobody has called yet.
    pub fn new(limits: Limits) -> Self {
        let quota = |rate, burst| Quota::per_second(rate).allow_burst(burst);
        Self {
            limits,
            calls: RateLimiter::keyed(quota(limits.requests_per_second, limits.burst)),
            failures: RateLimiter::keyed(quota(limits.failures_per_second, limits.failures_burst)),
            waiting: Mutex::default(),
        }
    }

    /// A principal calls.
    ///
    /// # Errors
    ///
    /// When it has to wait.
    pub fn call(&self, principal: &PrincipalName) -> Result<(), TooMany> {
        self.calls.check_key(principal).map_err(|until| TooMany::Calls {
            per_second: self.limits.requests_per_second.get(),
            after: until.wait_time_from(self.calls.clock().now()),
        })
    }

    /// A token is to be verified that comes from an address. Tokens that were verified before are not
    /// asked for: one bad agent must not lock out its neighbours behind the same address.
    ///
    /// # Errors
    ///
    /// When the address has to wait.
    pub fn attempt(&self, from: IpAddr) -> Result<(), TooMany> {
        let now = Instant::now();
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get(&network(from)) {
            Some(until) if *until > now => Err(TooMany::Failures { after: *until - now }),
            _ => Ok(()),
        }
    }

    /// A call from an address had no valid token.
    pub fn failure(&self, from: IpAddr) {
        let from = network(from);
        if let Err(until) = self.failures.check_key(&from) {
            let after = until.wait_time_from(self.failures.clock().now());
            let now = Instant::now();
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAX_ADDRESSES {
                waiting.retain(|_, until| *until > now);
            }
            if waiting.len() < MAX_ADDRESSES {
                waiting.insert(from, now + after);
            }
        }
        if self.failures.len() > MAX_ADDRESSES {
            self.failures.retain_recent();
        }
    }
}

/// Who has one address of IPv6 has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_more_is_told_when_to_come_back() {
        let number = |value| NonZeroU32::new(value).unwrap();
        let rates = Rates::new(Limits {
            requests_per_second: number(1),
            burst: number(3),
            failures_per_second: number(1),
            failures_burst: number(2),
            ..Limits::default()
        });
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(rates.call(&alice), Ok(()));
        }
        let refused = rates.call(&alice).unwrap_err();
        assert!(refused.after() > Duration::ZERO && refused.after() <= Duration::from_secs(1));
        assert_eq!(rates.call(&bob), Ok(()), "others are not concerned");

        let bad: IpAddr = "2001:db8::1".parse().unwrap();
        let beside: IpAddr = "2001:db8::2".parse().unwrap();
        let elsewhere: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        for _ in 0..2 {
            rates.failure(bad);
            assert_eq!(rates.attempt(bad), Ok(()));
        }
        rates.failure(bad);
        assert!(rates.attempt(beside).is_err());
        assert_eq!(rates.attempt(elsewhere), Ok(()));
    }
}
