//! Runs that were moved: where they go, against an oracle that tries every second, and what is in their way.

use std::sync::Arc;

use almanac_schemas::{Instant, Occurrence};
use almanac_validate::{
    Checker, Entry, Moved, Rule, Source, Testbed,
    calendar::{Calendar, nearest},
    check,
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

fn at(micros: i64) -> DateTime<Utc> {
    "2027-01-10T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::microseconds(micros)
}

const SECOND: i64 = 1_000_000;

/// An exclusive job: when it starts first, in microseconds, how often again, how long it takes, and where.
#[derive(Debug, Clone)]
struct Job {
    start: i64,
    every: Option<u32>,
    length: i64,
    node: usize,
    server: Option<usize>,
    exclusive: bool,
}

/// A testbed of three nodes, and the runs that were moved there.
#[derive(Debug, Clone)]
struct Bed {
    guards: [u32; 3],
    window: Option<(u32, u32)>,
    jobs: Vec<Job>,
    /// For some jobs that run once, when they run instead.
    moved: Vec<(usize, i64)>,
}

impl Bed {
    fn manifests(&self) -> String {
        let mut text = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: { role: admin, keys: [] }\n---\napiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { schedule: { minLength: 1s } }\n".to_owned();
        for (index, guard) in self.guards.iter().enumerate() {
            let window = self.window.filter(|_| index == 1).map(|(minute, length)| {
                format!(", maintenance: [{{ cron: \"{minute} * * * *\", length: {length}s }}]")
            });
            let window = window.unwrap_or_default();
            text += &format!(
                "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n{index} }}\nspec: {{ owner: alice, guard: {guard}s{window} }}\n"
            );
        }
        for (index, job) in self.jobs.iter().enumerate() {
            let Job { start, every, length, node, server, exclusive } = job;
            let schedule = match every {
                None => format!("at: {}", Instant(at(*start))),
                Some(minutes) => {
                    format!(
                        "cron: \"{} */{minutes} * * * *\", end: 2027-01-11T00:00:00Z",
                        start / SECOND % 60
                    )
                }
            };
            let server = server.filter(|server| server != node).map(|server| {
                format!("\n  server: {{ node: n{server}, container: {{ image: x, ports: [5201/tcp] }}, ready: {{ tcp: 5201 }} }}")
            });
            let server = server.unwrap_or_default();
            text += &format!(
                "---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j{index} }}\nspec:\n  owner: alice\n  nodes: [n{node}]\n  schedule: {{ {schedule}, length: {length}s }}\n  exclusive: {exclusive}\n  container: {{ image: x }}{server}\n"
            );
        }
        text
    }

    fn testbed(&self) -> Testbed {
        // Jobs of a bed may be in each other's way; what is free does not depend on that.
        let mut testbed = Testbed::empty();
        for document in self.manifests().split("---\n") {
            let value: serde_yaml::Value = serde_yaml::from_str(document).unwrap();
            let name = value["metadata"]["name"].as_str().unwrap().to_owned();
            let spec = value["spec"].clone();
            match value["kind"].as_str().unwrap() {
                "Node" => {
                    let spec = serde_yaml::from_value(spec).unwrap();
                    let entry = almanac_validate::NodeEntry { labels: Default::default(), spec };
                    testbed.nodes.insert(name.parse().unwrap(), entry);
                }
                "Job" => {
                    testbed.jobs.insert(name.parse().unwrap(), serde_yaml::from_value(spec).unwrap());
                }
                _ => {}
            }
        }
        testbed
    }

    fn moved(&self) -> Vec<Moved> {
        let once = self.moved.iter().filter_map(|(job, to)| {
            let index = job % self.jobs.len().max(1);
            let Job { start, every: None, exclusive: true, node, .. } = self.jobs.get(index)? else {
                return None;
            };
            Some(Moved {
                job: format!("j{index}").parse().unwrap(),
                node: format!("n{node}").parse().unwrap(),
                at: at(*start),
                to: at(*to),
            })
        });
        once.collect()
    }

    /// Everything that has a node for itself, expanded without any cleverness: with the guard after runs.
    fn reservations(&self, node: usize) -> Vec<Occurrence> {
        let testbed = self.testbed();
        let guard = TimeDelta::seconds(self.guards[node].into());
        let (from, to) = (at(-86_400 * SECOND), at(2 * 86_400 * SECOND));
        let mut all = Vec::new();
        let run = |start, length: i64| Occurrence { start, end: start + TimeDelta::seconds(length) + guard };
        for (index, job) in self.jobs.iter().enumerate().filter(|(_, job)| job.exclusive) {
            if job.node != node && job.server != Some(node) {
                continue;
            }
            let name = format!("j{index}");
            let schedule = testbed.jobs[name.as_str()].schedule.resolve().unwrap();
            let mut next = schedule.next(from);
            while let Some(occurrence) = next.filter(|next| next.start < to) {
                all.push(run(occurrence.start, job.length));
                next = schedule.next(occurrence.start + TimeDelta::microseconds(1));
            }
            let moved = self.moved();
            all.extend(
                moved.iter().filter(|run| run.job.as_str() == name).map(|moved| run(moved.to, job.length)),
            );
        }
        if let Some((minute, length)) = self.window.filter(|_| node == 1) {
            let hour = |hour: i64| at((hour * 3600 + i64::from(minute) * 60) * SECOND);
            let window = |start| Occurrence { start, end: start + TimeDelta::seconds(length.into()) };
            all.extend((-24..48).map(|number| window(hour(number))));
        }
        all
    }

    /// The first second at which a run fits, by trying them all.
    fn oracle(
        &self,
        nodes: &[usize],
        length: TimeDelta,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let taken: Vec<(TimeDelta, Vec<Occurrence>)> = nodes
            .iter()
            .map(|node| (TimeDelta::seconds(self.guards[*node].into()), self.reservations(*node)))
            .collect();
        let first = from.timestamp() + i64::from(from.timestamp_subsec_micros() > 0);
        (first..)
            .map(|second| DateTime::from_timestamp(second, 0).unwrap())
            .take_while(|start| *start < until)
            .find(|start| {
                taken.iter().all(|(guard, taken)| {
                    let run = Occurrence { start: *start, end: *start + length + *guard };
                    taken.iter().all(|other| !other.intersects(&run))
                })
            })
    }
}

fn jobs() -> impl Strategy<Value = Job> {
    // Instants are microseconds: some do not lie on a second.
    let start = (0..7_200i64, prop_oneof![3 => Just(0), 1 => 0..SECOND])
        .prop_map(|(second, micros)| second * SECOND + micros);
    let every = prop::option::weighted(0.4, prop::sample::select(vec![2u32, 5, 10, 15, 30]));
    (start, every, 1..600i64, 0..3usize, prop::option::weighted(0.3, 0..3usize), prop::bool::weighted(0.85))
        .prop_map(|(start, every, length, node, server, exclusive)| {
            let server = server.filter(|server| *server != node);
            // A job in its own way is refused for that alone. The longest guard is 29 s.
            let length = every.map_or(length, |minutes| length.min(i64::from(minutes) * 60 - 30));
            Job { start, every, length, node, server, exclusive }
        })
}

fn beds() -> impl Strategy<Value = Bed> {
    let moved = (0..8usize, 0..7_200i64).prop_map(|(job, second)| (job, second * SECOND));
    (
        prop::array::uniform3(0..30u32),
        prop::option::of((0..60u32, 1..1_200u32)),
        prop::collection::vec(jobs(), 0..8),
        prop::collection::vec(moved, 0..4),
    )
        .prop_map(|(guards, window, jobs, moved)| Bed { guards, window, jobs, moved })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_run_moves_to_the_first_second_at_which_nothing_is_in_its_way(
        bed in beds(),
        nodes in prop::sample::subsequence(vec![0usize, 1, 2], 1..=3),
        length in 1..900i64,
        from in 0..3_600 * SECOND,
        span in 0..7_200i64,
    ) {
        let (from, until) = (at(from), at(from + span * SECOND));
        let (testbed, moved) = (bed.testbed(), bed.moved());
        let calendars: Vec<_> = nodes
            .iter()
            .map(|node| {
                let name = format!("n{node}").parse().unwrap();
                Calendar::new(&testbed, &name).unwrap().with_moved(&testbed, &moved)
            })
            .collect();
        let length = TimeDelta::seconds(length);
        let found = nearest(&calendars, length, from, until);
        prop_assert_eq!(found.map(|run| run.start), bed.oracle(&nodes, length, from, until));
        prop_assert!(found.is_none_or(|run| run.end == run.start + length));
    }

    /// A commit is refused exactly when something that it declares, or another moved run, is in the way of a moved run.
    #[test]
    fn what_is_in_the_way_of_a_moved_run_is_found_and_nothing_else(bed in beds()) {
        let moved = bed.moved();
        let text = bed.manifests();
        let sources = vec![Arc::new(Source::read("testbed.yaml", Entry::File(text.as_bytes())))];
        let now = at(0);
        let conflicts = |report: almanac_validate::Report| {
            report.findings.iter().filter(|finding| finding.rule == Rule::ScheduleConflict && finding.message.contains("that was moved from")).count()
        };
        let found = conflicts(Checker::default().check_with(&sources, &moved, now));
        let mut clashes = 0;
        for (index, run) in moved.iter().enumerate() {
            let job: usize = run.job.as_str()[1..].parse().unwrap();
            let Job { length, node, server, .. } = bed.jobs[job];
            for node in std::iter::once(node).chain(server) {
                let guard = TimeDelta::seconds(bed.guards[node].into());
                let time = Occurrence { start: run.to, end: run.to + TimeDelta::seconds(length) + guard };
                let before = Bed { moved: bed.moved.clone().into_iter().take(0).collect(), ..bed.clone() };
                let declared = before.reservations(node).iter().any(|other| other.intersects(&time) && other.end > now);
                let others = moved.iter().enumerate().filter(|(other, _)| *other != index).any(|(_, other)| {
                    let job: usize = other.job.as_str()[1..].parse().unwrap();
                    let there = bed.jobs[job].node == node || bed.jobs[job].server == Some(node);
                    let length = TimeDelta::seconds(bed.jobs[job].length);
                    there && Occurrence { start: other.to, end: other.to + length + guard }.intersects(&time)
                });
                clashes += usize::from(declared || others);
            }
        }
        prop_assert_eq!(found > 0, clashes > 0, "{} found", found);
        prop_assert_eq!(conflicts(check(&sources, now)), 0, "nothing is known of moved runs");
    }
}

fn once(schedule: &str, rest: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: alice }}\nspec: {{ role: admin, keys: [] }}\n---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n }}\nspec: {{ owner: alice, guard: 5s }}\n---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: once }}\nspec: {{ owner: alice, nodes: [n], schedule: {{ {schedule}, length: 1m }}, container: {{ image: x }}{rest} }}\n---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: greedy }}\nspec: {{ owner: alice, nodes: [n], schedule: {{ at: 2027-01-10T13:00:30Z, length: 1m }}, container: {{ image: x }} }}\n"
    )
}

#[test]
fn a_moved_run_is_named_with_its_times_and_stands_only_as_it_was_declared() {
    let moved =
        Moved { job: "once".parse().unwrap(), node: "n".parse().unwrap(), at: at(0), to: at(3_600 * SECOND) };
    let messages = |schedule: &str, rest: &str| {
        let text = once(schedule, rest);
        let sources = vec![Arc::new(Source::read("testbed.yaml", Entry::File(text.as_bytes())))];
        let report = Checker::default().check_with(&sources, std::slice::from_ref(&moved), at(60 * SECOND));
        let found = report.findings.into_iter().filter(|finding| finding.rule == Rule::ScheduleConflict);
        found.map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(
        messages("at: 2027-01-10T12:00:00Z", ""),
        [
            "`greedy` reserves node `n` at 2027-01-10T13:00:30Z, which the run of `once` has that was moved from 2027-01-10T12:00:00Z to 2027-01-10T13:00:00Z"
        ]
    );
    let released: [(&str, &str); 3] = [
        ("at: 2027-01-10T14:00:00Z", ""),
        ("at: 2027-01-10T12:00:00Z", ", exclusive: false"),
        ("at: 2027-01-10T12:00:00Z, end: 2027-01-10T13:00:00Z", ""),
    ];
    for (schedule, rest) in released {
        assert_eq!(messages(schedule, rest), Vec::<String>::new(), "{schedule}{rest}");
    }
}
