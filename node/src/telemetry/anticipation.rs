//! Which runs want fresh samples soon: those whose trigger is decided in a moment look back at what was measured before.

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::RunRole;

use crate::{desired::Desired, scheduler::SETTLED_AHEAD};

use super::{Telemetry, Wanted};

/// How long before an instant samples are wanted. A trigger looks back at 60 samples at most, which at one a second is a
/// minute; and the first of a provider may take a second or two.
const AHEAD: TimeDelta = TimeDelta::seconds(65);

/// How long they are wanted beyond an instant: until whoever decides says so himself.
const BEYOND: TimeDelta = TimeDelta::seconds(2);

/// Wants fresh samples ahead of triggers.
pub struct Anticipation {
    telemetry: Telemetry,
    wanted: Option<(DateTime<Utc>, Wanted)>,
}

impl Anticipation {
    /// Of nothing yet.
    pub const fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, wanted: None }
    }

    /// Wants samples if a trigger is decided soon, and says when to look again.
    pub fn follow(&mut self, desired: &Desired, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = next(desired, now - BEYOND);
        self.wanted.take_if(|(until, _)| *until <= now);
        match next {
            Some(instant) if instant - AHEAD <= now => {
                let until = instant + BEYOND;
                match &mut self.wanted {
                    Some((known, _)) => *known = until.max(*known),
                    None => self.wanted = Some((until, self.telemetry.want())),
                }
                Some(until + SETTLED_AHEAD)
            }
            next => {
                let wanted = self.wanted.as_ref().map(|(until, _)| *until);
                next.map(|instant| instant - AHEAD).into_iter().chain(wanted).min()
            }
        }
    }
}

/// The next instant from one on at which a trigger is decided.
fn next(desired: &Desired, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let triggered = desired
        .assignments
        .iter()
        .filter(|assignment| assignment.role == RunRole::Client && assignment.spec.trigger.is_some());
    let next = triggered.filter_map(|assignment| {
        let next = assignment.schedule.next(from.max(assignment.since))?;
        (next.start < desired.valid_until).then_some(next.start)
    });
    next.min()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use almanac_schemas::JobSpec;

    use crate::desired::{Assignment, Version};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn desired(trigger: &str, seconds: i64) -> Desired {
        let instant = at(seconds).to_rfc3339();
        let spec: JobSpec = serde_json::from_str(&format!(
            r#"{{"owner":"a","nodes":["n"],"container":{{"image":"x"}},"schedule":{{"at":"{instant}","length":"5s"}}{trigger}}}"#
        ))
        .unwrap();
        let assignment = Assignment {
            job: "j".parse().unwrap(),
            role: RunRole::Client,
            since: at(-1000),
            schedule: spec.schedule.resolve().unwrap(),
            spec: Arc::new(spec),
            clients: Vec::new(),
        };
        Desired {
            version: Version::default(),
            commit: String::new(),
            valid_until: at(1_000_000),
            server_time: at(0),
            node: serde_json::from_str(r#"{"owner":"a"}"#).unwrap(),
            network: String::new(),
            assignments: vec![assignment],
        }
    }

    #[test]
    fn samples_are_wanted_from_a_minute_before_a_trigger_until_it_is_decided() {
        let telemetry = Telemetry::new();
        let wanted = || *telemetry.wanted().borrow();
        let mut anticipation = Anticipation::new(telemetry.clone());
        let desired = desired(r#","trigger":{"when":"true"}"#, 100);
        assert_eq!(anticipation.follow(&desired, at(0)), Some(at(35)));
        assert_eq!(wanted(), 0);
        for (now, expected) in [(35, 1), (99, 1), (101, 1), (103, 0), (1000, 0)] {
            let next = anticipation.follow(&desired, at(now));
            assert_eq!((now, wanted()), (now, expected));
            assert_eq!(next.is_some(), expected == 1, "{now}");
        }
    }

    #[test]
    fn without_a_trigger_nothing_is_wanted() {
        let telemetry = Telemetry::new();
        let mut anticipation = Anticipation::new(telemetry.clone());
        assert_eq!(anticipation.follow(&desired("", 10), at(0)), None);
        assert_eq!(*telemetry.wanted().borrow(), 0);
        // A job that was taken back.
        anticipation.follow(&desired(r#","trigger":{"when":"true"}"#, 10), at(0));
        assert_eq!(*telemetry.wanted().borrow(), 1);
        let again = anticipation.follow(&desired("", 10), at(1));
        anticipation.follow(&desired("", 10), again.unwrap());
        assert_eq!(*telemetry.wanted().borrow(), 0);
    }
}
