//! Checking one tree after another finds what checking each by itself finds.

use std::{fmt::Write, sync::Arc};

use almanac_validate::{Checker, Entry, Source, check};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// A job: when it starts in the hour, how many minutes it takes, where, and until which day it recurs.
#[derive(Debug, Clone)]
struct Job {
    minute: u32,
    length: u32,
    nodes: Vec<usize>,
    until: u32,
    exclusive: bool,
}

/// What is declared.
#[derive(Debug, Clone)]
struct Bed {
    jobs: Vec<Job>,
    guards: Vec<u32>,
    maintenance: Vec<Option<u32>>,
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
    /// So many hours pass; the clock may be put back, too.
    Time(i64),
}

const NODES: usize = 3;

fn job() -> impl Strategy<Value = Job> {
    let nodes = prop::collection::btree_set(0..NODES, 1..=2);
    (0..60_u32, 1..25_u32, nodes, 2..9_u32, prop::bool::weighted(0.9)).prop_map(
        |(minute, length, nodes, until, exclusive)| Job {
            minute,
            length,
            nodes: nodes.into_iter().collect(),
            until,
            exclusive,
        },
    )
}

fn bed() -> impl Strategy<Value = Bed> {
    (prop::collection::vec(job(), 0..5), prop::collection::vec(0..90_u32, NODES))
        .prop_map(|(jobs, guards)| Bed { jobs, guards, maintenance: vec![None; NODES], least: 1 })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_usize, job()).prop_map(|(index, job)| Step::Job(index, job)),
        2 => job().prop_map(Step::Add),
        2 => (0..5_usize).prop_map(Step::Remove),
        1 => (0..NODES, 0..900_u32).prop_map(|(node, guard)| Step::Guard(node, guard)),
        1 => (0..NODES, prop::option::of(0..60_u32)).prop_map(|(node, minute)| Step::Maintenance(node, minute)),
        1 => (1..6_u32).prop_map(Step::Least),
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
            Step::Time(_) => {}
        }
    }

    fn sources(&self) -> Vec<Arc<Source>> {
        let mut text =
            String::from("apiVersion: almanac/v1\nkind: User\nmetadata: { name: ann }\nspec: {}\n");
        write!(
            text,
            "---\napiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec: {{ schedule: {{ minLength: {}m }} }}\n",
            self.least
        )
        .unwrap();
        for (node, (guard, maintenance)) in self.guards.iter().zip(&self.maintenance).enumerate() {
            let maintenance = maintenance
                .map(|minute| format!(", maintenance: [{{ cron: \"{minute} 3 * * *\", length: 5m }}]"));
            write!(
                text,
                "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n{node} }}\nspec: {{ owner: ann, guard: {guard}s{} }}\n",
                maintenance.unwrap_or_default()
            )
            .unwrap();
        }
        let mut sources = vec![Arc::new(Source::read("bed.yaml", Entry::File(text.as_bytes())))];
        for (index, job) in self.jobs.iter().enumerate() {
            let nodes: Vec<_> = job.nodes.iter().map(|node| format!("n{node}")).collect();
            let text = format!(
                "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j{index} }}\nspec:\n  owner: ann\n  nodes: [{}]\n  exclusive: {}\n  \
                 schedule: {{ cron: \"{} * * * *\", start: 2026-12-01T00:00:00Z, end: 2026-12-0{}T00:00:00Z, length: {}m }}\n  \
                 container: {{ image: x }}\n",
                nodes.join(", "),
                job.exclusive,
                job.minute,
                job.until,
                job.length
            );
            sources.push(Arc::new(Source::read(&format!("j{index}.yaml"), Entry::File(text.as_bytes()))));
        }
        sources
    }
}

proptest! {
    #[test]
    fn nothing_is_missed_and_nothing_is_made_up(mut bed in bed(), steps in prop::collection::vec(step(), 1..12)) {
        let mut now: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
        let mut checker = Checker::default();
        for step in std::iter::once(Step::Time(0)).chain(steps) {
            bed.take(&step);
            if let Step::Time(hours) = step {
                now += TimeDelta::hours(hours);
            }
            let sources = bed.sources();
            let (next, anew) = (checker.check(&sources, now), check(&sources, now));
            prop_assert_eq!(next.findings, anew.findings, "{:?} {:?}", step, bed);
            prop_assert_eq!((next.sound, next.silenced), (anew.sound, anew.silenced));
        }
    }
}
