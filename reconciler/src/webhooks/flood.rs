//! How many deliveries are taken, from one sender and from all.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

/// How many a sender may send at once, and in a minute. A forge sends one for each push.
const SENDER: NonZeroU32 = NonZeroU32::new(60).expect("it is not zero");

/// How many all may send at once, and in a minute.
const ALL: NonZeroU32 = NonZeroU32::new(600).expect("it is not zero");

/// How many senders are kept before those that have been quiet are forgotten. More than this in a minute is an
/// attack from many places, which the bound for all is for.
const SENDERS: usize = 4_096;

/// Counts deliveries.
#[derive(Debug)]
pub(super) struct Flood {
    sender: DefaultKeyedRateLimiter<Option<IpAddr>>,
    all: DefaultDirectRateLimiter,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            sender: RateLimiter::keyed(Quota::per_minute(SENDER)),
            all: RateLimiter::direct(Quota::per_minute(ALL)),
        }
    }
}

impl Flood {
    /// Counts a delivery. Senders that are not known are one. A sender who sends too much takes nothing from others.
    ///
    /// # Errors
    ///
    /// When there are too many, how long to wait.
    pub(super) fn admit(&self, sender: Option<IpAddr>) -> Result<(), Duration> {
        if self.sender.len() >= SENDERS {
            self.sender.retain_recent();
        }
        let clock = DefaultClock::default();
        let wait = |until: governor::NotUntil<_>| until.wait_time_from(clock.now());
        self.sender.check_key(&sender.map(network)).map_err(wait)?;
        self.all.check().map_err(wait)
    }
}

/// What one sender has: an address, or with IPv6 a network of them (RFC 4291, section 2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_bounded_and_takes_nothing_from_others() {
        let flood = Flood::default();
        let sender = Some("192.0.2.1".parse().unwrap());
        for _ in 0..SENDER.get() {
            flood.admit(sender).unwrap();
        }
        let wait = flood.admit(sender).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        for _ in 0..ALL.get() {
            flood.admit(sender).unwrap_err();
        }
        flood.admit(Some("192.0.2.2".parse().unwrap())).unwrap();
        flood.admit(None).unwrap();
    }

    #[test]
    fn all_together_are_bounded() {
        let flood = Flood::default();
        let admitted = (0..2 * ALL.get()).filter(|number| {
            let sender = IpAddr::V4((0x0a00_0000 + number).into());
            flood.admit(Some(sender)).is_ok()
        });
        // A few more come in if this takes a moment.
        let admitted = admitted.count();
        assert!((600..700).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_network_is_one_sender() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:0:1:aaaa::1"), "2001:db8:0:1::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
