//! Checking one tree after another finds what checking each by itself finds.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use almanac_validate::{Checker, Entry, Source, check};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// A job: when it starts in the hour or once, how many minutes it takes, where, and until which day it recurs.
#[derive(Debug, Clone)]
struct Job {
    minute: u32,
    /// The hour in which it runs once.
    once: Option<u32>,
    length: u32,
    nodes: Vec<usize>,
    until: u32,
    exclusive: bool,
    /// Whether it is that of a user who is not always declared.
    guest: bool,
    /// The CPUs that it asks for.
    cpus: u32,
    /// The port that it wants, if any.
    port: Option<u32>,
}

/// What is declared.
#[derive(Debug, Clone)]
struct Bed {
    jobs: Vec<Job>,
    guards: Vec<u32>,
    maintenance: Vec<Option<u32>>,
    /// The most CPUs that a container gets on each node.
    cpus: Vec<u32>,
    /// The nodes that admit nobody but their owner.
    closed: Vec<bool>,
    /// Whether the guest is declared.
    guest: bool,
    /// Whether a file is there that cannot be read.
    unreadable: bool,
    /// The least length of a run in minutes.
    least: u32,
}

/// What happens from one check to the next.
#[derive(Debug, Clone)]
enum Step {
    Job(usize, Job),
    Add(Job),
    Remove(usize),
    Guard(usize, u32),
    Maintenance(usize, Option<u32>),
    Least(u32),
    Cpus(usize, u32),
    Closed(usize, bool),
    Guest(bool),
    Unreadable(bool),
    /// So many hours pass; the clock may be put back, too.
    Time(i64),
}

const NODES: usize = 3;

fn job() -> impl Strategy<Value = Job> {
    let nodes = prop::collection::btree_set(0..NODES, 1..=2);
    let times = (0..60_u32, prop::option::weighted(0.2, 0..24_u32), 1..25_u32, 2..9_u32);
    let asked =
        (prop::bool::weighted(0.7), prop::bool::weighted(0.2), 1..4_u32, prop::option::of(80..82_u32));
    (times, nodes, asked).prop_map(
        |((minute, once, length, until), nodes, (exclusive, guest, cpus, port))| Job {
            minute,
            once,
            length,
            nodes: nodes.into_iter().collect(),
            until,
            exclusive,
            guest,
            cpus,
            port,
        },
    )
}

fn bed() -> impl Strategy<Value = Bed> {
    let jobs = prop::collection::vec(job(), 0..5);
    let guards = prop::collection::vec(0..90_u32, NODES);
    (jobs, guards, any::<bool>(), any::<bool>()).prop_map(|(jobs, guards, guest, unreadable)| Bed {
        jobs,
        guards,
        maintenance: vec![None; NODES],
        cpus: vec![3; NODES],
        closed: vec![false; NODES],
        guest,
        unreadable,
        least: 1,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_usize, job()).prop_map(|(index, job)| Step::Job(index, job)),
        2 => job().prop_map(Step::Add),
        2 => (0..5_usize).prop_map(Step::Remove),
        1 => (0..NODES, 0..900_u32).prop_map(|(node, guard)| Step::Guard(node, guard)),
        1 => (0..NODES, prop::option::of(0..60_u32)).prop_map(|(node, minute)| Step::Maintenance(node, minute)),
        1 => (1..6_u32).prop_map(Step::Least),
        1 => (0..NODES, 1..4_u32).prop_map(|(node, cpus)| Step::Cpus(node, cpus)),
        1 => (0..NODES, any::<bool>()).prop_map(|(node, closed)| Step::Closed(node, closed)),
        1 => any::<bool>().prop_map(Step::Guest),
        1 => any::<bool>().prop_map(Step::Unreadable),
        3 => (-60..60_i64).prop_map(Step::Time),
    ]
}

impl Bed {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Job(index, job) => {
                if let Some(old) = self.jobs.get_mut(*index) {
                    *old = job.clone();
                }
            }
            Step::Add(job) => self.jobs.push(job.clone()),
            Step::Remove(index) => {
                if *index < self.jobs.len() {
                    self.jobs.remove(*index);
                }
            }
            Step::Guard(node, guard) => self.guards[*node] = *guard,
            Step::Maintenance(node, minute) => self.maintenance[*node] = *minute,
            Step::Least(least) => self.least = *least,
            Step::Cpus(node, cpus) => self.cpus[*node] = *cpus,
            Step::Closed(node, closed) => self.closed[*node] = *closed,
            Step::Guest(guest) => self.guest = *guest,
            Step::Unreadable(unreadable) => self.unreadable = *unreadable,
            Step::Time(_) => {}
        }
    }

    /// The files, with their paths.
    fn files(&self) -> Vec<(String, String)> {
        let mut text =
            String::from("apiVersion: almanac/v1\nkind: User\nmetadata: { name: ann }\nspec: {}\n");
        if self.guest {
            text += "---\napiVersion: almanac/v1\nkind: User\nmetadata: { name: guest }\nspec: {}\n";
        }
        write!(
            text,
            "---\napiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec: {{ schedule: {{ minLength: {}m }} }}\n",
            self.least
        )
        .unwrap();
        for (node, guard) in self.guards.iter().enumerate() {
            let maintenance = self.maintenance[node]
                .map(|minute| format!(", maintenance: [{{ cron: \"{minute} 3 * * *\", length: 5m }}]"));
            write!(
                text,
                "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n{node} }}\nspec: {{ owner: ann, guard: {guard}s, limits: {{ cpus: {} }}{}{} }}\n",
                self.cpus[node],
                if self.closed[node] { ", access: { users: [ann] }" } else { "" },
                maintenance.unwrap_or_default()
            )
            .unwrap();
        }
        let mut files = vec![("bed.yaml".to_owned(), text)];
        if self.unreadable {
            files.push(("unreadable.yaml".to_owned(), "[".to_owned()));
        }
        for (index, job) in self.jobs.iter().enumerate() {
            let nodes: Vec<_> = job.nodes.iter().map(|node| format!("n{node}")).collect();
            let timing = match job.once {
                Some(hour) => format!("at: 2026-12-02T{hour:02}:{:02}:00Z", job.minute),
                None => format!(
                    "cron: \"{} * * * *\", start: 2026-12-01T00:00:00Z, end: 2026-12-0{}T00:00:00Z",
                    job.minute, job.until
                ),
            };
            let text = format!(
                "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j{index} }}\nspec:\n  owner: {}\n  nodes: [{}]\n  exclusive: {}\n  \
                 schedule: {{ {timing}, length: {}m }}\n  container: {{ image: x, resources: {{ cpus: {} }}, ports: [{}] }}\n",
                if job.guest { "guest" } else { "ann" },
                nodes.join(", "),
                job.exclusive,
                job.length,
                job.cpus,
                job.port.map(|port| format!("{port}/tcp")).unwrap_or_default(),
            );
            files.push((format!("j{index}.yaml"), text));
        }
        files
    }
}

/// What was parsed before is not parsed again, as with the commits of a branch.
#[derive(Default)]
struct Parsed(HashMap<(String, String), Arc<Source>>);

impl Parsed {
    fn sources(&mut self, bed: &Bed) -> Vec<Arc<Source>> {
        let source = |(path, text): (String, String)| {
            let parsed = Arc::new(Source::read(&path, Entry::File(text.as_bytes())));
            Arc::clone(self.0.entry((path, text)).or_insert(parsed))
        };
        bed.files().into_iter().map(source).collect()
    }
}

proptest! {
    #[test]
    fn nothing_is_missed_and_nothing_is_made_up(mut bed in bed(), steps in prop::collection::vec(step(), 1..12)) {
        let mut now: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
        let mut checker = Checker::default();
        let mut parsed = Parsed::default();
        for step in std::iter::once(Step::Time(0)).chain(steps) {
            bed.take(&step);
            if let Step::Time(hours) = step {
                now += TimeDelta::hours(hours);
            }
            let sources = parsed.sources(&bed);
            let (next, anew) = (checker.check(&sources, now), check(&sources, now));
            prop_assert_eq!(next.testbed(), anew.testbed());
            prop_assert_eq!(next.findings, anew.findings, "{:?} {:?}", step, bed);
            prop_assert_eq!((next.sound, next.silenced), (anew.sound, anew.silenced));

        }
    }
}
