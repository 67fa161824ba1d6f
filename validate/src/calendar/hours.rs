//! Expressions that leave some hours of the day out, for want of a free offset: maintenance alone, once a
//! week, takes an hour from everything that would happen each hour.

use almanac_schemas::Cron;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Calendar, Period,
    offsets::{fits_itself, taken},
};

/// An expression that is free, and what it leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct FewerHours {
    /// The expression, in UTC.
    pub cron: Cron,
    /// The hours of the day in which it fires.
    pub kept: Vec<u32>,
    /// The hours of the day in which a period would have fired, but the expression does not.
    pub left_out: Vec<u32>,
}

const HOURS: u32 = 24;
const DAY: u32 = HOURS * 60;

/// As [`free_crons`](super::free_crons), but hours of the day in which somebody would be in the way
/// are left out, the fewest that can be. `None` when nothing is left, or when the period is not shorter than a day.
pub fn fewer_hours(
    calendars: &[Calendar<'_>],
    every: Period,
    length: TimeDelta,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Option<FewerHours> {
    if every.minutes() >= DAY || !fits_itself(calendars, every, length) {
        return None;
    }
    let taken = taken(calendars, DAY, length, start, end);
    let is_free = |minute: u32| !taken.values().any(|taken| taken[minute as usize]);
    let candidates = (0..every.minutes()).map(|offset| {
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for hour in 0..HOURS {
            let minutes = hour * 60..(hour + 1) * 60;
            let mut fires = minutes.filter(|minute| minute % every.minutes() == offset).peekable();
            if fires.peek().is_some() {
                if fires.all(is_free) { kept.push(hour) } else { left_out.push(hour) }
            }
        }
        (offset, kept, left_out)
    });
    // Of equally good ones, the first.
    let (offset, kept, left_out) = candidates.min_by_key(|(_, _, left_out)| left_out.len())?;
    if kept.is_empty() {
        return None;
    }
    let text = format!("{} {} * * *", every.minute_field(offset), ranges(&kept));
    let cron: Cron = text.parse().expect("each field lists values within its range");
    cron.next(start, chrono_tz::UTC).filter(|next| *next < end)?;
    Some(FewerHours { cron, kept, left_out })
}

/// Ascending numbers as a field of a cron expression: `0-2,4,7-23`.
fn ranges(values: &[u32]) -> String {
    let runs = values.chunk_by(|a, b| a + 1 == *b);
    let written = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 4, 7, 8]), "0-2,4,7-8");
        assert_eq!(ranges(&[5]), "5");
    }
}
