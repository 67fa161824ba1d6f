//! Time as people say it: `in 3m`, `2h ago`, `took 45s`.

use chrono::{DateTime, TimeDelta, Utc};

/// The distance of an instant from `now`, in its largest unit, rounded down, but for parts of a second.
pub fn distance(instant: DateTime<Utc>, now: DateTime<Utc>) -> String {
    // To the nearest second: what is sent has microseconds, and two hours from now are not to be `in 1h`.
    let delta = TimeDelta::seconds(((instant - now).num_milliseconds() + 500).div_euclid(1_000));
    if delta.is_zero() {
        return "now".to_owned();
    }
    if delta > TimeDelta::zero() { format!("in {}", span(delta)) } else { format!("{} ago", span(-delta)) }
}

/// A length of time in its largest unit, rounded down: `45s`, `3m`, `2h`, `71d`.
pub fn span(delta: TimeDelta) -> String {
    let units = [(delta.num_days(), "d"), (delta.num_hours(), "h"), (delta.num_minutes(), "m")];
    match units.iter().find(|(count, _)| *count > 0) {
        Some((count, unit)) => format!("{count}{unit}"),
        None => format!("{}s", delta.num_seconds().max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_is_said() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let until = now + TimeDelta::microseconds(7_199_999_999);
        assert_eq!(distance(until, now), "in 2h");
        for (seconds, expected) in [
            (0, "now"),
            (1, "in 1s"),
            (-59, "59s ago"),
            (200, "in 3m"),
            (-7_300, "2h ago"),
            (86_399, "in 23h"),
            (-86_400 * 71, "71d ago"),
        ] {
            assert_eq!(distance(now + TimeDelta::seconds(seconds), now), expected);
        }
    }
}
