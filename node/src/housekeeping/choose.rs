//! What has to go, and what stays.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::container::Image;

use crate::{container, desired::Desired, run::RunKey};

/// For how long ahead images are kept for jobs that need them.
const AHEAD: TimeDelta = TimeDelta::days(7);

/// An image that this agent has pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub image: Image,
    /// Bytes. What it shares with another is counted for both.
    pub size: u64,
    /// When a run last wanted it.
    pub used_at: DateTime<Utc>,
}

/// Something of a run on this host: a container, or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remains {
    pub key: RunKey,
    pub since: DateTime<Utc>,
}

/// The images that a run needs within seven days.
pub(super) fn needed(desired: &Desired, now: DateTime<Utc>) -> BTreeSet<Image> {
    let soon = desired.assignments.iter().filter(|assignment| {
        // A run that is due a moment ago may be waiting for its image.
        let from = now - assignment.spec.schedule.length.to_delta();
        assignment.schedule.next(from).is_some_and(|next| next.start <= now + AHEAD)
    });
    soon.map(|assignment| container::part(&assignment.spec, assignment.role).image.clone()).collect()
}

/// The images that go: of those that nobody needs, the ones that were not wanted for the longest time, until the rest
/// fits the budget.
pub(super) fn images(mut held: Vec<Held>, needed: &BTreeSet<Image>, budget: u64) -> Vec<Image> {
    let mut total: u64 = held.iter().map(|held| held.size).fold(0, u64::saturating_add);
    held.retain(|held| !needed.contains(&held.image));
    held.sort_by(|a, b| (a.used_at, &a.image).cmp(&(b.used_at, &b.image)));
    let mut going = Vec::new();
    for Held { image, size, .. } in held {
        if total <= budget {
            break;
        }
        total = total.saturating_sub(size);
        going.push(image);
    }
    going
}

/// What belongs to no run that goes on, and has had its time: a run is journaled before there is anything of it, so that
/// what is old and unknown is nobody's.
pub(super) fn strays(
    remains: &[Remains],
    open: &[RunKey],
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> Vec<RunKey> {
    let stray = |found: &&Remains| !open.contains(&found.key) && found.since + grace <= now;
    remains.iter().filter(stray).map(|found| found.key).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use almanac_schemas::{JobSpec, RunRole};

    use super::*;
    use crate::desired::{Assignment, Version};

    fn at(days: i64) -> DateTime<Utc> {
        "2027-01-15T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(days)
    }

    fn image(name: &str) -> Image {
        name.parse().unwrap()
    }

    fn held(name: &str, size: u64, days: i64) -> Held {
        Held { image: image(name), size, used_at: at(days) }
    }

    fn assignment(name: &str, at: &str, role: RunRole) -> Assignment {
        let spec: JobSpec = serde_json::from_str(&format!(
            r#"{{"owner":"alice","nodes":["n"],"container":{{"image":"{name}"}},"schedule":{{"at":"{at}","length":"5m"}},
                "server":{{"node":"m","container":{{"image":"{name}-server"}}}}}}"#
        ))
        .unwrap();
        let schedule = spec.schedule.resolve().unwrap();
        Assignment {
            job: name.parse().unwrap(),
            role,
            since: self::at(-9),
            schedule,
            spec: Arc::new(spec),
            clients: Vec::new(),
        }
    }

    #[test]
    fn what_a_job_needs_within_a_week_is_needed() {
        let desired = Desired {
            version: Version::default(),
            commit: String::new(),
            valid_until: at(30),
            server_time: at(0),
            node: serde_json::from_str(r#"{"owner":"alice"}"#).unwrap(),
            network: String::new(),
            assignments: vec![
                assignment("over", "2027-01-15T11:50:00Z", RunRole::Client),
                assignment("going", "2027-01-15T11:57:00Z", RunRole::Client),
                assignment("week", "2027-01-22T12:00:00Z", RunRole::Server),
                assignment("later", "2027-01-22T12:00:01Z", RunRole::Client),
            ],
        };
        let found: Vec<String> = needed(&desired, at(0)).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["going", "week-server"]);
    }

    #[test]
    fn what_was_not_wanted_for_the_longest_time_goes_first_and_what_is_needed_stays() {
        let all = vec![held("a", 10, 3), held("b", 20, 1), held("c", 30, 2), held("d", 40, 0)];
        let kept = BTreeSet::from([image("d")]);
        let going = |budget| {
            let names = images(all.clone(), &kept, budget);
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(going(100), "");
        assert_eq!(going(99), "b");
        assert_eq!(going(79), "b c");
        assert_eq!(going(0), "b c a", "also where what is needed does not fit by itself");
    }

    #[test]
    fn strays_are_old_and_of_no_run() {
        let key = |number: u128| RunKey {
            id: uuid::Uuid::from_u128(number).to_string().parse().unwrap(),
            role: RunRole::Client,
        };
        let found = |number, days| Remains { key: key(number), since: at(days) };
        let all = [found(1, -2), found(2, -2), found(3, 0), found(4, 1)];
        assert_eq!(strays(&all, &[key(2)], at(0), TimeDelta::days(1)), [key(1)]);
        // What was made by a clock that was ahead waits for its time to pass.
        assert_eq!(strays(&all, &[key(2)], at(2), TimeDelta::days(1)), [key(1), key(3), key(4)]);
    }
}
