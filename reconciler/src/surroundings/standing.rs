//! Whether nodes have what they ask for, and why not: for the nodes, and as a condition for people.

use std::collections::BTreeMap;

use almanac_schemas::{config::ConfigSpec, node::NodeSpec};
use almanac_validate::Testbed;
use chrono::{DateTime, Utc};

use super::{
    Known, Source,
    source::{self, wants_orbits, wants_weather},
};
use crate::{
    conditions::{Condition, ConditionKind, Reason},
    store::ConditionRow,
};

/// How something stands that a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In one word.
    pub reason: Reason,
    /// What is in the way, for people; empty when nothing is.
    pub problem: String,
    /// Since when; none where it is so since it was declared.
    pub since: Option<DateTime<Utc>>,
}

impl Standing {
    fn declared(reason: Reason, problem: &str) -> Self {
        Self { reason, problem: problem.to_owned(), since: None }
    }

    fn holds(&self) -> bool {
        matches!(self.reason, Reason::FetchFailed | Reason::NoSource)
    }
}

/// How the weather of a node stands; none when its manifest does not ask for it.
pub fn weather(config: &ConfigSpec, spec: &NodeSpec, known: &Known) -> Option<Standing> {
    if !wants_weather(spec) {
        return None;
    }
    let Some(place) = source::weather(spec) else {
        let problem = "the node's manifest has no `coordinates`, so nobody knows of where";
        return Some(Standing::declared(Reason::NoSource, problem));
    };
    if config.weather.is_none() {
        return Some(Standing::declared(Reason::NoSource, "the testbed's `Config` has no `weather`"));
    }
    Some(of(Source::Weather(place), known))
}

/// How the orbits stand for a node; none when its manifest does not ask for them.
pub fn orbits(config: &ConfigSpec, spec: &NodeSpec, known: &Known) -> Option<Standing> {
    if !wants_orbits(spec) {
        return None;
    }
    if spec.coordinates.is_none() {
        let problem = "the node's manifest has no `coordinates`, so nobody knows from where";
        return Some(Standing::declared(Reason::NoSource, problem));
    }
    if config.satellites.is_none() {
        return Some(Standing::declared(Reason::NoSource, "the testbed's `Config` has no `satellites`"));
    }
    Some(of(Source::Orbits, known))
}

fn of(source: Source, known: &Known) -> Standing {
    match known.rows.get(&source) {
        None => Standing::declared(Reason::NotYet, "it was not fetched yet"),
        Some(row) if row.failures > 0 => Standing {
            reason: Reason::FetchFailed,
            problem: format!("it cannot be fetched: {}", row.problem),
            since: row.failing_since,
        },
        Some(row) => Standing { reason: Reason::Fetched, problem: String::new(), since: row.fetched_at },
    }
}

/// Which of several reasons is told: what fails now before what was never to be had, which hides nothing then.
fn weight(reason: Reason) -> u8 {
    match reason {
        Reason::FetchFailed | Reason::NotYet => 1,
        _ => 0,
    }
}

/// The condition of a node; none when it asks for nothing. What it asks for since its manifest says so counts from
/// `declared`.
pub fn node(testbed: &Testbed, spec: &NodeSpec, known: &Known, declared: DateTime<Utc>) -> Option<Condition> {
    let config = &testbed.config;
    let of = [("weather", weather(config, spec, known)), ("satellites", orbits(config, spec, known))];
    let asked: Vec<(&str, Standing)> =
        of.into_iter().filter_map(|(name, standing)| Some((name, standing?))).collect();
    let worst = |(_, standing): &&(&str, Standing)| (standing.holds(), weight(standing.reason));
    let (_, first) = asked.iter().max_by_key(worst)?;
    let told = asked.iter().filter(|(_, standing)| standing.holds());
    let message: Vec<String> = told.map(|(name, standing)| format!("{name}: {}", standing.problem)).collect();
    Some(Condition {
        kind: ConditionKind::Unfetched,
        status: first.holds(),
        reason: first.reason,
        message: message.join("; "),
        since: first.since.unwrap_or(declared).max(declared),
    })
}

/// The condition of the testbed; none when no node asks for anything. Each text is told once, with how many nodes
/// it is about.
pub fn testbed(testbed: &Testbed, known: &Known, declared: DateTime<Utc>) -> Option<Condition> {
    let mut problems: BTreeMap<String, usize> = BTreeMap::new();
    let mut conditions = Vec::new();
    for entry in testbed.nodes.values() {
        let Some(condition) = node(testbed, &entry.spec, known, declared) else { continue };
        if condition.status {
            *problems.entry(condition.message.clone()).or_default() += 1;
        }
        conditions.push(condition);
    }
    let all = conditions.len();
    let worst = |condition: &Condition| (condition.status, weight(condition.reason));
    let first = conditions.iter().max_by_key(|condition| worst(condition))?;
    let (status, reason) = (first.status, first.reason);
    let alike = conditions.iter().filter(|condition| condition.status == status);
    let since = alike.map(|condition| condition.since).min()?;
    let told = problems.into_iter().map(|(problem, nodes)| format!("{nodes} of {all} nodes: {problem}"));
    let message: Vec<String> = told.take(NAMED).collect();
    Some(Condition { kind: ConditionKind::Unfetched, status, reason, message: message.join("; "), since })
}

/// The condition of the testbed, as far as others are told of it: when it holds, and once when it does no more. What is
/// about to be fetched for the first time says nothing either way.
pub fn news(now: Option<Condition>, before: &[ConditionRow], at: DateTime<Utc>) -> Option<Condition> {
    let kind = ConditionKind::Unfetched;
    let held = before.iter().any(|row| row.name == kind.as_str() && row.status);
    match now {
        Some(condition) if condition.status => Some(condition),
        Some(condition) if condition.reason == Reason::NotYet => None,
        Some(condition) => held.then_some(Condition { since: at, ..condition }),
        None => held.then(|| Condition {
            kind,
            status: false,
            reason: Reason::NotWanted,
            message: "no node asks for the weather or for orbits".to_owned(),
            since: at,
        }),
    }
}

/// How many problems are told in a text for people.
const NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn condition(status: bool, reason: Reason) -> Condition {
        let (kind, message) = (ConditionKind::Unfetched, "1 of 1 nodes: why".to_owned());
        Condition { kind, status, reason, message, since: at(0) }
    }

    fn row(name: &str, status: bool) -> ConditionRow {
        ConditionRow { name: name.to_owned(), status, reason: "FetchFailed".to_owned(), since: at(0) }
    }

    #[test]
    fn others_are_told_that_it_holds_and_once_that_it_does_no_more() {
        let told = |now, before: &[ConditionRow]| {
            news(now, before, at(9)).map(|told| (told.status, told.reason, told.since))
        };
        let failed = || Some(condition(true, Reason::FetchFailed));
        let fetched = || Some(condition(false, Reason::Fetched));
        let (held, over) = ([row("Ready", true), row("Unfetched", true)], [row("Unfetched", false)]);
        for before in [&held[..], &over, &[]] {
            assert_eq!(told(failed(), before), Some((true, Reason::FetchFailed, at(0))));
        }
        assert_eq!(told(fetched(), &held), Some((false, Reason::Fetched, at(9))));
        assert_eq!(told(Some(condition(false, Reason::NotYet)), &held), None);
        assert_eq!(told(None, &held), Some((false, Reason::NotWanted, at(9))));
        // Another condition of the repository that holds says nothing about this one.
        for before in [&over[..], &held[..1], &[]] {
            assert_eq!((told(fetched(), before), told(None, before)), (None, None));
        }
    }
}
