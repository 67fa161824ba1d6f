//! What a run's trigger comes to: that it begins, that it goes on waiting, or that it is not to be. And how that is said.

use std::{collections::BTreeMap, fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use almanac_schemas::{
    Duration, Instant, Phase, Reason,
    trigger::{Decision, Field, Value},
};

use crate::scheduler::Omission;

/// What a trigger comes to, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It holds: the run begins.
    Begin(Held),
    /// It does not hold, or cannot be decided, and there is time left.
    Wait,
    /// Its time is over.
    Omit(Omission),
}

/// By what a trigger held: it is kept with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    /// The condition.
    pub(super) when: String,
    /// The instant.
    pub(super) at: Instant,
    /// What was seen then.
    pub(super) seen: BTreeMap<String, Value>,
}

/// Judges what was decided now of a condition that is waited for until an instant.
pub(super) fn judge(
    when: &str,
    wait: Duration,
    decision: &Decision,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Verdict {
    if decision.holds == Some(true) {
        let seen = decision.seen.iter().map(|(field, value)| (field.to_string(), value.clone())).collect();
        return Verdict::Begin(Held { when: when.to_owned(), at: Instant(now), seen });
    }
    if now < until {
        return Verdict::Wait;
    }
    let within = if wait.is_zero() { String::new() } else { format!(" within {wait}") };
    let verb = if decision.holds.is_none() { "could not be decided" } else { "did not hold" };
    let mut message = format!("its trigger `{}` {verb}{within}", cut(when, LONGEST_CONDITION));
    if !decision.seen.is_empty() {
        message.push_str(": ");
        message
            .push_str(&listed(decision.seen.iter().map(|(field, value)| shown(&field.to_string(), value))));
    }
    if !decision.missing.is_empty() {
        message.push_str("; not measured: ");
        message.push_str(&listed(decision.missing.iter().map(Field::to_string)));
    }
    Verdict::Omit(Omission { phase: Phase::Skipped, reason: Reason::TriggerFalse, message })
}

impl Held {
    /// For people.
    pub(super) fn message(&self) -> String {
        let mut message = format!("its trigger `{}` held", cut(&self.when, LONGEST_CONDITION));
        if !self.seen.is_empty() {
            message.push_str(": ");
            message.push_str(&listed(self.seen.iter().map(|(field, value)| shown(field, value))));
        }
        message
    }

    /// Notes it in a run's folder, before the run begins: whoever finds the run going on knows why.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let unfinished = folder.join("trigger.json.new");
        fs::write(&unfinished, serde_json::to_string(self)?)?;
        fs::rename(unfinished, folder.join(FILE))
    }

    /// What a run's folder says; nothing where its run waited for nothing.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }
}

/// The note's name.
const FILE: &str = "trigger.json";

/// How much of a condition is said, in characters; the record has the manifest.
const LONGEST_CONDITION: usize = 200;
/// How much of a text that was measured.
const LONGEST_VALUE: usize = 40;
/// How many fields are said.
const MOST: usize = 10;

fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{field} = {:?}", cut(text, LONGEST_VALUE)),
        value => format!("{field} = {value}"),
    }
}

fn listed(mut all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(MOST);
    let mut listed = all.by_ref().take(MOST).collect::<Vec<_>>().join(", ");
    if more > 0 {
        listed.push_str(&format!(" and {more} more"));
    }
    listed
}

fn cut(text: &str, most: usize) -> String {
    // A message is one line.
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some((at, _)) => format!("{}...", &line[..at]),
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::trigger::{Condition, Provider, Samples};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn judged(when: &str, wait: u64, now: i64) -> Verdict {
        let mut samples = Samples::default();
        let sample = [
            ("pop_ping_latency_ms".to_owned(), Value::Number(40.5)),
            ("software_version".to_owned(), Value::Text("v".repeat(100))),
        ];
        samples.add(Provider::Dish, sample.into());
        let decision = Condition::parse(when).unwrap().decide(&samples);
        judge(when, Duration::from_secs(wait), &decision, at(i64::try_from(wait).unwrap()), at(now))
    }

    fn omitted(verdict: Verdict) -> String {
        match verdict {
            Verdict::Omit(Omission { phase: Phase::Skipped, reason: Reason::TriggerFalse, message }) => {
                message
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_holds_begins_whenever_that_is() {
        for now in [0, 29, 30, 31] {
            let Verdict::Begin(held) = judged("dish.pop_ping_latency_ms > 40", 30, now) else { panic!() };
            assert_eq!(held.at, Instant(at(now)));
            assert_eq!(
                held.message(),
                "its trigger `dish.pop_ping_latency_ms > 40` held: dish.pop_ping_latency_ms = 40.5"
            );
        }
    }

    #[test]
    fn what_does_not_hold_waits_as_long_as_it_may() {
        assert_eq!(judged("dish.pop_ping_latency_ms > 60", 30, 29), Verdict::Wait);
        assert_eq!(
            omitted(judged("dish.pop_ping_latency_ms > 60", 30, 30)),
            "its trigger `dish.pop_ping_latency_ms > 60` did not hold within 30s: dish.pop_ping_latency_ms = 40.5"
        );
        assert_eq!(
            omitted(judged("dish.pop_ping_latency_ms > 60\n  && weather.rain_1h > 0", 0, 0)),
            "its trigger `dish.pop_ping_latency_ms > 60 && weather.rain_1h > 0` did not hold: \
             dish.pop_ping_latency_ms = 40.5; not measured: weather.rain_1h"
        );
        assert_eq!(
            omitted(judged("weather.rain_1h > 0", 0, 0)),
            "its trigger `weather.rain_1h > 0` could not be decided; not measured: weather.rain_1h"
        );
    }

    #[test]
    fn what_is_said_is_short() {
        let long = format!("dish.software_version == '{}'", "x".repeat(900));
        let message = omitted(judged(&long, 0, 0));
        assert!(message.len() < 400, "{message}");
        let many: Vec<String> =
            (0..30).map(|number| format!("local.some_rather_long_field_{number} > 1")).collect();
        let mut when = many.join(" && ");
        when.truncate(when[..1000].rfind(" && ").unwrap());
        let message = omitted(judged(&when, 0, 0));
        assert!(message.len() < 800 && message.contains("and 15 more"), "{} {message}", message.len());
    }

    #[test]
    fn by_what_it_held_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Held::read(folder.path()), None);
        let Verdict::Begin(held) = judged("dish.pop_ping_latency_ms > 40", 0, 0) else { panic!() };
        held.write(folder.path()).unwrap();
        assert_eq!(Held::read(folder.path()), Some(held));
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Held::read(folder.path()), None);
    }
}
