//! When a time zone changes its clocks.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// A span of time in which a zone's offset from UTC stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first second, since 1970. The end is the next one's start.
    pub(super) start: i64,
    /// Seconds that local time is ahead of UTC before the span, and in it.
    pub(super) before: i64,
    pub(super) offset: i64,
}

/// How far apart one looks for changes. No zone has ever changed its clocks forth and back within a
/// shorter time (a test looks at all of them).
const STRIDE: i64 = 3 * 86_400;

/// How far back a change can still matter: a repeated range of local time is never longer.
const REACH: i64 = 86_400;

/// The spans that `[from, to)` lies in, in seconds since 1970. The first one starts before `from`, and
/// need not be a change.
pub(super) fn spans(zone: Tz, from: i64, to: i64) -> Vec<Span> {
    let start = from - REACH;
    let offset = offset(zone, start);
    let mut spans = vec![Span { start, before: offset, offset }];
    if zone == Tz::UTC {
        return spans;
    }
    let (mut at, mut current) = (start, offset);
    while at < to {
        let next = at + STRIDE;
        let there = self::offset(zone, next);
        if there != current {
            let (mut low, mut high) = (at, next);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if self::offset(zone, middle) == current { low = middle } else { high = middle }
            }
            spans.push(Span { start: high, before: current, offset: self::offset(zone, high) });
            // From the change on, as there may be another one before `next`.
            (at, current) = (high, self::offset(zone, high));
            continue;
        }
        at = next;
    }
    spans
}

fn offset(zone: Tz, second: i64) -> i64 {
    let naive = DateTime::from_timestamp(second, 0).map_or(NaiveDateTime::MAX, |instant| instant.naive_utc());
    i64::from(zone.offset_from_utc_datetime(&naive).fix().local_minus_utc())
}
