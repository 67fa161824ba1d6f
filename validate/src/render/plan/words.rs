//! How a plan puts figures, instants and values.

use almanac_schemas::{JobSpec, Timezone};
use chrono::{DateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::{
    plan::{Load, Transition},
    text::printable,
    words::in_words,
};

/// A figure with as many digits as say something.
pub(super) fn figure(value: f64) -> String {
    let text = if value.abs() < 1.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Two figures, or one when nothing changes.
pub(super) fn change(before: &str, after: &str) -> String {
    if before == after { after.to_owned() } else { format!("{before} -> {after}") }
}

/// Runs per day, and node-hours per week. What is not there runs not.
pub(super) fn load(before: Option<Load>, after: Option<Load>) -> (String, String) {
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    (
        change(&figure(before.runs_per_day), &figure(after.runs_per_day)),
        change(&figure(before.node_hours_per_week), &figure(after.node_hours_per_week)),
    )
}

/// A share of time in per cent.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// "2027-01-10 12:00", with seconds when there are any.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    local(at, Tz::UTC, "")
}

/// The same with the name of the zone's time, such as `BST`.
pub(super) fn instant_in(at: DateTime<Utc>, zone: Timezone) -> String {
    local(at, zone.0, " %Z")
}

fn local(at: DateTime<Utc>, zone: Tz, suffix: &str) -> String {
    let local = zone.from_utc_datetime(&at.naive_utc());
    let time = if local.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    local.format(&format!("%Y-%m-%d {time}{suffix}")).to_string()
}

/// When a job runs and how long it takes.
pub(super) fn schedule(spec: &JobSpec) -> String {
    let schedule = &spec.schedule;
    match (&schedule.cron, schedule.at) {
        (Some(cron), _) => format!("{} ({}), {}", cron.as_str(), schedule.timezone, schedule.length),
        (None, Some(at)) => format!("once at {}, {}", instant(at.0), schedule.length),
        (None, None) => "never".to_owned(),
    }
}

/// The first of some names, and how many more there are.
pub(super) fn names<N: ToString>(names: &[N], shown: usize) -> String {
    let mut text = names.iter().take(shown).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if names.len() > shown {
        text += &format!(" and {} more", names.len() - shown);
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

/// "forward 1h" or "back 30m".
pub(super) fn shift(shift: TimeDelta) -> String {
    let word = if shift > TimeDelta::zero() { "forward" } else { "back" };
    format!("{word} {}", in_words(shift))
}

/// What happens to runs when clocks are set.
pub(super) fn effect(transition: &Transition) -> String {
    let runs = |count: u64, what: &str| match count {
        0 => None,
        1 => Some(format!("1 run {what}")),
        count => Some(format!("{count} runs {what}")),
    };
    let parts = [
        runs(transition.skipped, "skipped"),
        runs(transition.moved, "moved to the end of the gap"),
        runs(transition.repeated, "repeated"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no run is affected".to_owned() } else { parts.join(", ") }
}

/// A value of a field on one line of so many characters. What is too long loses its middle: the end of
/// a key or of an image says which it is.
pub(super) fn value(value: Option<&Value>, width: usize) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| cut(&value.to_string(), width))
}

/// A text of so many characters at most, with nothing that steers a terminal.
pub(super) fn cut(text: &str, width: usize) -> String {
    let text = printable(text.to_owned());
    let count = text.chars().count();
    if count <= width {
        return text;
    }
    let tail = width / 4;
    let head = width - tail - 1;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_say_something() {
        for (value, text) in [
            (0.0, "0"),
            (96.0, "96"),
            (0.125, "0.12"),
            (0.999, "1"),
            (1.04, "1"),
            (288.04, "288"),
            (1.5, "1.5"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(change("1", "1"), "1");
        assert_eq!(change("0", "1"), "0 -> 1");
        assert_eq!(share(Some(0.1234)), "12.3 %");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(cut("0123456789", 10), "0123456789");
        assert_eq!(cut("0123456789abcdefghij", 12), "01234567…hij");
        assert_eq!(cut("a\u{1b}[31m", 20), "a\\u{1b}[31m");
    }
}
