//! Calendars against an oracle that marks every second of a few days.

use std::collections::BTreeMap;

use almanac_schemas::{Instant, Occurrence, Schedule};
use almanac_validate::{
    NodeEntry, Testbed,
    calendar::{
        Calendar, Period, claimants, entries, fewer_hours, first_fit, free_crons, gaps, longest, rounded,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// The evening before daylight saving ends in London, and how many seconds from it are looked at.
const BASE: &str = "2027-10-30T20:00:00Z";
const SPAN: i64 = 120_000;

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    BASE.parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn seconds(instant: DateTime<Utc>) -> i64 {
    (instant - at(0)).num_seconds()
}

/// A job on some of two nodes, as data.
#[derive(Debug, Clone)]
struct Job {
    schedule: String,
    length: i64,
    nodes: &'static str,
    exclusive: bool,
}

/// A testbed, as data.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    guards: [i64; 2],
    windows: Vec<(String, i64)>,
    jobs: Vec<Job>,
}

impl Case {
    /// How many nodes there are.
    pub(crate) const NODES: usize = 2;

    /// The spec of a node: all windows on the first one, all but the first on the second.
    pub(crate) fn node(&self, index: usize) -> String {
        let windows = &self.windows[index.min(self.windows.len())..];
        let window = |(cron, length): &(String, i64)| {
            format!("{{ cron: \"{cron}\", timezone: Europe/London, length: {length}s }}")
        };
        let windows: Vec<_> = windows.iter().map(window).collect();
        format!("{{ owner: alice, guard: {}s, maintenance: [{}] }}", self.guards[index], windows.join(", "))
    }

    /// The specs of the jobs.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = String> {
        self.jobs.iter().map(|job| {
            let Job { schedule, length, nodes, exclusive } = job;
            format!(
                "{{ owner: alice, nodes: {nodes}, schedule: {{ {schedule}, length: {length}s }}, exclusive: {exclusive}, container: {{ image: x }} }}"
            )
        })
    }

    fn testbed(&self) -> Testbed {
        let mut testbed = Testbed::empty();
        for index in 0..Self::NODES {
            let spec = serde_yaml::from_str(&self.node(index)).unwrap();
            let entry = NodeEntry { labels: BTreeMap::new(), spec };
            testbed.nodes.insert(format!("n{index}").parse().unwrap(), entry);
        }
        for (index, spec) in self.jobs().enumerate() {
            testbed.jobs.insert(format!("j{index}").parse().unwrap(), serde_yaml::from_str(&spec).unwrap());
        }
        testbed
    }
}

/// Every reservation on a node, expanded without any cleverness.
fn reservations(testbed: &Testbed, node: &str) -> Vec<Occurrence> {
    let spec = &testbed.nodes[node].spec;
    let expand =
        |schedule: &Schedule| schedule.occurrences(at(-600_000), at(SPAN + 600_000)).collect::<Vec<_>>();
    let mut all = Vec::new();
    for window in &spec.maintenance {
        all.extend(expand(&window.schedule()));
    }
    for job in testbed.jobs.values().filter(|job| job.exclusive) {
        let nodes = testbed.clients(job).filter(|name| name.as_str() == node).count();
        if nodes > 0 {
            let schedule = job.schedule.resolve().unwrap();
            all.extend(expand(&schedule).into_iter().map(|next| next.lengthened(spec.guard.to_delta())));
        }
    }
    all
}

/// For each second of the span, how many seconds up to it a node is reserved in.
struct Oracle {
    reserved: Vec<i64>,
    guard: i64,
}

impl Oracle {
    fn new(testbed: &Testbed, node: &str) -> Self {
        let mut marks = vec![false; usize::try_from(SPAN * 2).unwrap()];
        for reservation in reservations(testbed, node) {
            for second in seconds(reservation.start).max(0)..seconds(reservation.end).min(SPAN * 2) {
                marks[usize::try_from(second).unwrap()] = true;
            }
        }
        let sums = marks.iter().scan(0, |sum, mark| {
            *sum += i64::from(*mark);
            Some(*sum)
        });
        let guard = testbed.nodes[node].spec.guard.to_delta().num_seconds();
        Self { reserved: std::iter::once(0).chain(sums).collect(), guard }
    }

    fn reserved(&self, from: i64, to: i64) -> i64 {
        let sum = |second: i64| self.reserved[usize::try_from(second).unwrap()];
        sum(to) - sum(from)
    }

    fn is_free(&self, start: i64, length: i64) -> bool {
        self.reserved(start, start + length + self.guard) == 0
    }
}

fn cron() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        (0..60u32).prop_map(|minute| minute.to_string()),
        (4..31u32).prop_map(|step| format!("*/{step}")),
        (0..20u32, 10..31u32).prop_map(|(start, step)| format!("{start}-59/{step}")),
    ];
    let hour = prop_oneof![
        3 => (0..24u32).prop_map(|hour| hour.to_string()),
        1 => (0..12u32, 12..24u32).prop_map(|(a, b)| format!("{a}-{b}")),
        1 => Just("*".to_owned()),
    ];
    (prop_oneof![4 => Just(""), 1 => Just("30 ")], minute, hour)
        .prop_map(|(second, minute, hour)| format!("{second}{minute} {hour} * * *"))
}

fn job() -> impl Strategy<Value = Job> {
    let recurring = (cron(), 0..60_000i64, 1..200_000i64).prop_map(|(cron, start, window)| {
        let (start, end) = (Instant(at(start)), Instant(at(start + window)));
        format!("cron: \"{cron}\", timezone: Europe/London, start: {start}, end: {end}")
    });
    let once = (0..SPAN).prop_map(|start| format!("at: {}", Instant(at(start))));
    let length = prop_oneof![1..120i64, 120..3_000i64, Just(60)];
    let nodes = prop_oneof![Just("[n0]"), Just("[n1]"), Just("[n0, n1]")];
    (prop_oneof![2 => recurring, 1 => once], length, nodes, prop::bool::weighted(0.8))
        .prop_map(|(schedule, length, nodes, exclusive)| Job { schedule, length, nodes, exclusive })
}

/// Testbeds in which anything may be in the way of anything.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let guard = || prop_oneof![Just(0i64), Just(5), 0..900i64];
    let windows = prop::collection::vec((cron(), 1..9_000i64), 0..3);
    ([guard(), guard()], windows, prop::collection::vec(job(), 0..7))
        .prop_map(|(guards, windows, jobs)| Case { guards, windows, jobs })
}

/// Periods as they are typed.
pub(crate) fn every() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["1m", "5m", "15m", "1h", "2h", "8h", "1d", "1w"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn entries_are_all_that_is_there_in_order(case in case(), from in 0..SPAN / 2, span in 1..SPAN / 2) {
        let testbed = case.testbed();
        let calendars = Calendar::all(&testbed);
        let found: Vec<_> = entries(&calendars, at(from), at(from + span)).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0].time.start <= pair[1].time.start));
        let range = Occurrence { start: at(from), end: at(from + span) };
        for node in ["n0", "n1"] {
            let mut expected = reservations(&testbed, node);
            expected.retain(|reservation| reservation.intersects(&range));
            expected.sort();
            let on_node = found.iter().filter(|entry| entry.node.as_str() == node);
            let mut reserved: Vec<_> = on_node.filter_map(|entry| entry.reservation()).collect();
            reserved.sort();
            prop_assert_eq!(reserved, expected);
        }
        let shared = found.iter().filter(|entry| entry.reservation().is_none());
        prop_assert!(shared.clone().all(|entry| entry.time.intersects(&range) && entry.guard.is_zero()));
        let expected = testbed.assignments().filter(|assignment| !assignment.spec.exclusive).flat_map(|assignment| {
            let schedule = assignment.spec.schedule.resolve().unwrap();
            schedule.occurrences(at(-600_000), at(SPAN)).filter(|time| time.intersects(&range)).collect::<Vec<_>>()
        });
        prop_assert_eq!(shared.count(), expected.count());
    }

    #[test]
    fn utilisation_counts_each_reserved_second_once(case in case(), from in 0..SPAN / 2, span in 0..SPAN / 2) {
        let testbed = case.testbed();
        for calendar in Calendar::all(&testbed) {
            let oracle = Oracle::new(&testbed, calendar.node().as_str());
            let found = calendar.utilisation(at(from), at(from + span));
            prop_assert_eq!(found.reserved.num_seconds(), oracle.reserved(from, from + span));
            prop_assert_eq!(found.whole.num_seconds(), span);
            prop_assert!((0.0..=1.0).contains(&found.share()));
        }
    }

    #[test]
    fn the_first_fit_is_the_first(
        case in case(), from in 0..SPAN / 2, span in 1..SPAN / 2,
        length in prop_oneof![1..300i64, 300..20_000i64],
    ) {
        let testbed = case.testbed();
        let calendars = Calendar::all(&testbed);
        let oracles = ["n0", "n1"].map(|node| Oracle::new(&testbed, node));
        let first = |oracles: &[Oracle]| {
            let mut starts = from..=from + span - length;
            starts.find(|start| oracles.iter().all(|oracle| oracle.is_free(*start, length)))
        };
        let seconds_of = |found: Option<Occurrence>| found.map(|slot| seconds(slot.start));
        let (length, after, before) = (TimeDelta::seconds(length), at(from), at(from + span));
        prop_assert_eq!(seconds_of(first_fit(&calendars, length, after, before)), first(&oracles));
        for (calendar, oracle) in calendars.iter().zip(oracles.chunks(1)) {
            prop_assert_eq!(seconds_of(calendar.next_free(length, after, before)), first(oracle));
        }
    }

    #[test]
    fn gaps_are_what_is_left(case in case(), from in 0..SPAN / 2, span in 1..SPAN / 2) {
        let testbed = case.testbed();
        let calendars = Calendar::all(&testbed);
        let oracles = ["n0", "n1"].map(|node| Oracle::new(&testbed, node));
        let free = |second: i64| oracles.iter().all(|oracle| oracle.is_free(second, 1));
        let found: Vec<_> = gaps(&calendars, at(from), at(from + span)).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
        let mut inside = vec![false; usize::try_from(span).unwrap()];
        for gap in &found {
            for second in seconds(gap.start)..seconds(gap.end) {
                inside[usize::try_from(second - from).unwrap()] = true;
            }
            let start = rounded(*gap, TimeDelta::seconds(1));
            prop_assert!(gap.start <= start && start < gap.end);
        }
        for (offset, inside) in (from..).zip(inside) {
            prop_assert_eq!(free(offset), inside, "second {}", offset);
        }
    }

    #[test]
    fn free_offsets_are_those_that_meet_nobody(
        case in case(), from in 0..SPAN / 3, span in 1..SPAN / 2,
        length in prop_oneof![1..120i64, 120..3_000i64],
        every in every(),
    ) {
        let testbed = case.testbed();
        let calendars = Calendar::all(&testbed);
        let oracles = ["n0", "n1"].map(|node| Oracle::new(&testbed, node));
        let every: Period = every.parse().unwrap();
        let found = free_crons(&calendars, every, TimeDelta::seconds(length), at(from), at(from + span));
        let step = i64::from(every.minutes()) * 60;
        // The base is a whole minute, and so are the seconds that count here.
        let first = (from + 59).div_euclid(60) * 60;
        let expected: Vec<i64> = (first..(from + span).min(first + step))
            .step_by(60)
            .filter(|start| {
                let mut starts = (*start..from + span).step_by(usize::try_from(step).unwrap());
                let free = starts.all(|start| oracles.iter().all(|oracle| oracle.is_free(start, length)));
                free && length + case.guards[0].max(case.guards[1]) <= step
            })
            .collect();
        let starts: Vec<i64> = found.free.iter().map(|free| seconds(free.first)).collect();
        prop_assert_eq!(&starts, &expected);
        for free in &found.free {
            prop_assert_eq!(free.cron.next(at(from), chrono_tz::UTC), Some(free.first));
        }
        let offers = |length: TimeDelta, cron: &almanac_schemas::Cron| {
            let offsets = free_crons(&calendars, every, length, at(from), at(from + span));
            offsets.free.iter().any(|free| free.cron == *cron)
        };
        if let Some(free) = found.free.first() {
            let room = free.room(&calendars, every, at(from + span));
            prop_assert!(offers(room, &free.cron));
            prop_assert!(!offers(room + TimeDelta::seconds(1), &free.cron));
        }
        if found.free.is_empty()
            && let Some(longest) = longest(&calendars, every, TimeDelta::seconds(length), at(from), at(from + span))
        {
            let count = |length| free_crons(&calendars, every, length, at(from), at(from + span)).free.len();
            prop_assert!(count(longest) > 0);
            prop_assert_eq!(count(longest + TimeDelta::seconds(1)), 0);
        }
        prop_assert!(found.free.len() <= found.count);
        let window = (at(from), at(from + span));
        if let Some(fewer) = fewer_hours(&calendars, every, TimeDelta::seconds(length), window.0, window.1) {
            prop_assert!(fewer.left_out.is_empty() || found.free.is_empty());
            let mut start = window.0;
            while let Some(next) = fewer.cron.next(start, chrono_tz::UTC).filter(|next| *next < window.1) {
                prop_assert!(oracles.iter().all(|oracle| oracle.is_free(seconds(next), length)), "{}", next);
                start = next + TimeDelta::seconds(1);
            }
        }
    }
}

#[test]
fn a_node_that_is_not_there_is_guessed() {
    let case = Case { guards: [0, 0], windows: vec![], jobs: vec![] };
    let testbed = case.testbed();
    let error = |name: &str| Calendar::new(&testbed, &name.parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error("n9"), "node `n9` not found (did you mean `n0`?)");
    assert_eq!(error("paris-01"), "node `paris-01` not found");
}

#[test]
fn claimants_are_listed_by_what_they_hold() {
    let job = |schedule: &str, length| Job {
        schedule: schedule.to_owned(),
        length,
        nodes: "[n0]",
        exclusive: true,
    };
    let once = |hour: i64| format!("at: {}", Instant(at(hour * 3_600)));
    let case = Case {
        guards: [10, 0],
        windows: vec![("0 23 * * *".to_owned(), 600)],
        jobs: vec![job(&once(1), 60), job(&once(3), 3_600)],
    };
    let testbed = case.testbed();
    let calendar = Calendar::new(&testbed, &"n0".parse().unwrap()).unwrap();
    let found = claimants(&[calendar], at(0), at(3 * 3_600 + 1_000));
    let found: Vec<_> =
        found.iter().map(|(claimant, time)| (claimant.to_string(), time.num_seconds())).collect();
    // 23:00 in London is 22:00 UTC, two hours after the base.
    let expected = [("`j1`", 1_000), ("the maintenance of `n0`", 600), ("`j0`", 70)];
    assert_eq!(found, expected.map(|(name, time)| (name.to_owned(), time)));
}
