//! Ports of nodes that several want, against an oracle that lets `croner` enumerate everything and compares every pair.
//!
//! `ALMANAC_NIGHTLY=50` runs fifty times as many cases.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac_schemas::{Instant, Occurrence};
use almanac_validate::{Entry, Rule, Source, check, check_change, novelty};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::conflicts::{beginning, cases, cron, enumerated, zone};

const PORTS: [&str; 4] = ["80/tcp", "80/udp", "81/tcp", "82/tcp"];

const NETWORKS: [&str; 3] = ["bridge", "host", "none"];

const NODES: usize = 3;

/// A container: its network, and the ports that it declares.
#[derive(Debug, Clone)]
struct Part {
    network: usize,
    ports: Vec<usize>,
}

/// A job. Times are in seconds after the case's beginning.
#[derive(Debug, Clone)]
struct Job {
    cron: Option<String>,
    zone: Tz,
    start: i64,
    window: i64,
    length: i64,
    exclusive: bool,
    nodes: Vec<usize>,
    client: Part,
    server: Option<(usize, Part)>,
}

#[derive(Debug, Clone)]
struct Bed {
    beginning: DateTime<Utc>,
    guards: [i64; NODES],
    jobs: Vec<Job>,
    now: i64,
}

/// What is found between two jobs, or of one: where, about which ports, when first and how often.
#[derive(Debug, Default)]
struct Conflict {
    nodes: BTreeSet<String>,
    ports: BTreeSet<(u16, &'static str)>,
    first: Option<DateTime<Utc>>,
    count: u64,
}

impl Part {
    fn yaml(&self) -> String {
        let ports: Vec<_> = self.ports.iter().map(|port| PORTS[*port]).collect();
        format!("{{ image: x, network: {}, ports: [{}] }}", NETWORKS[self.network], ports.join(", "))
    }

    fn published(&self) -> &[usize] {
        if NETWORKS[self.network] == "none" { &[] } else { &self.ports }
    }
}

impl Job {
    fn yaml(&self, index: usize, beginning: DateTime<Utc>) -> String {
        let (start, end) = self.window(beginning);
        let timing = match &self.cron {
            Some(cron) => format!(
                "cron: \"{cron}\", timezone: {}, start: {}, end: {}",
                self.zone,
                Instant(start),
                Instant(end)
            ),
            None => format!("at: {}", Instant(start)),
        };
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("n{node}")).collect();
        let server = self
            .server()
            .map(|(node, part)| format!("  server: {{ node: n{node}, container: {} }}\n", part.yaml()));
        format!(
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j{index} }}\nspec:\n  owner: ann\n  nodes: [{}]\n  exclusive: {}\n  \
             schedule: {{ {timing}, length: {}s }}\n  container: {}\n{}",
            nodes.join(", "),
            self.exclusive,
            self.length,
            self.client.yaml(),
            server.unwrap_or_default(),
        )
    }

    fn window(&self, beginning: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let start = beginning + TimeDelta::seconds(self.start);
        (start, start + TimeDelta::seconds(self.window))
    }

    /// On a node of its own.
    fn server(&self) -> Option<&(usize, Part)> {
        self.server.as_ref().filter(|(node, _)| !self.nodes.contains(node))
    }

    /// The ports that it wants of a node.
    fn wants(&self, node: usize) -> &[usize] {
        let server = self.server().filter(|(other, _)| *other == node);
        match server {
            Some((_, part)) => part.published(),
            None if self.nodes.contains(&node) => self.client.published(),
            None => &[],
        }
    }

    /// When it has them.
    fn expanded(&self, beginning: DateTime<Utc>, guard: i64, now: DateTime<Utc>) -> Vec<Occurrence> {
        let held = TimeDelta::seconds(self.length + guard);
        let (start, end) = self.window(beginning);
        let starts = match &self.cron {
            Some(cron) => enumerated(cron, self.zone, start.max(now - held), end),
            None => vec![start],
        };
        let all = starts.into_iter().map(|start| Occurrence { start, end: start + held });
        all.filter(|held| held.end > now).collect()
    }
}

impl Bed {
    fn now(&self) -> DateTime<Utc> {
        self.beginning + TimeDelta::seconds(self.now)
    }

    /// What is found, without the places and what is said besides.
    fn found(&self) -> BTreeSet<String> {
        let mut bed =
            "apiVersion: almanac/v1\nkind: User\nmetadata: { name: ann }\nspec: { role: admin }\n---\n\
                       apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\n\
                       spec: { schedule: { minLength: 1s, maxLength: 30d } }\n"
                .to_owned();
        for (node, guard) in self.guards.iter().enumerate() {
            bed += &format!(
                "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n{node} }}\n\
                 spec: {{ owner: ann, guard: {guard}s, hostNetwork: true }}\n"
            );
        }
        let mut files = vec![("bed.yaml".to_owned(), bed)];
        let jobs = self.jobs.iter().enumerate();
        files.extend(jobs.map(|(index, job)| (format!("j{index}.yaml"), job.yaml(index, self.beginning))));
        let read =
            |(path, text): &(String, String)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
        let sources: Vec<_> = files.iter().map(read).collect();
        let findings = check(&sources, self.now()).findings;
        let broken = findings
            .iter()
            .find(|finding| matches!(finding.rule, Rule::InvalidValue | Rule::Syntax | Rule::Schedule));
        assert!(broken.is_none(), "{broken:?}");
        let ports = findings.into_iter().filter(|finding| finding.rule == Rule::PortConflict);
        // Of one job alone, how long it has its ports depends on the node that is first.
        ports
            .map(|finding| match finding.message.split_once(" for ") {
                Some((what, _)) => what.to_owned(),
                None => finding.message,
            })
            .collect()
    }

    /// The same, by brute force.
    fn expected(&self) -> BTreeSet<String> {
        let mut found: BTreeMap<(usize, usize), Conflict> = BTreeMap::new();
        for node in 0..NODES {
            let expanded: Vec<_> = self
                .jobs
                .iter()
                .map(|job| job.expanded(self.beginning, self.guards[node], self.now()))
                .collect();
            let itself = |index: usize| {
                let overlaps = expanded[index].windows(2).find(|pair| pair[0].intersects(&pair[1]));
                overlaps.filter(|_| !self.jobs[index].exclusive && !self.jobs[index].wants(node).is_empty())
            };
            for a in 0..self.jobs.len() {
                if let Some(pair) = itself(a) {
                    found.entry((a, a)).or_default().add(node, self.jobs[a].wants(node), pair[1].start);
                    continue;
                }
                for b in a + 1..self.jobs.len() {
                    let (one, other) = (&self.jobs[a], &self.jobs[b]);
                    let shared: Vec<usize> = one
                        .wants(node)
                        .iter()
                        .filter(|port| other.wants(node).contains(port))
                        .copied()
                        .collect();
                    if shared.is_empty() || one.exclusive && other.exclusive || itself(b).is_some() {
                        continue;
                    }
                    for x in &expanded[a] {
                        for y in expanded[b].iter().filter(|y| x.intersects(y)) {
                            found.entry((a, b)).or_default().add(node, &shared, x.start.max(y.start));
                        }
                    }
                }
            }
        }
        found.iter().map(|(jobs, conflict)| conflict.told(*jobs)).collect()
    }
}

impl Conflict {
    fn add(&mut self, node: usize, ports: &[usize], at: DateTime<Utc>) {
        self.nodes.insert(format!("n{node}"));
        self.ports.extend(ports.iter().map(|port| {
            let (number, protocol) = PORTS[*port].split_once('/').unwrap();
            (number.parse::<u16>().unwrap(), protocol)
        }));
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.count += 1;
    }

    fn told(&self, (a, b): (usize, usize)) -> String {
        let quoted = |word: &str, all: Vec<String>| {
            let all: Vec<_> = all.iter().map(|one| format!("`{one}`")).collect();
            match &all[..] {
                [one] => format!("{word} {one}"),
                [rest @ .., last] => format!("{word}s {} and {last}", rest.join(", ")),
                [] => unreachable!("a conflict is about something"),
            }
        };
        let ports = self.ports.iter().map(|(number, protocol)| format!("{number}/{protocol}"));
        let (ports, nodes) =
            (quoted("port", ports.collect()), quoted("node", self.nodes.iter().cloned().collect()));
        let first = Instant(self.first.unwrap());
        match self.count {
            _ if a == b => format!("each run of `j{a}` has {ports} of {nodes}"),
            1 => format!("`j{b}` and `j{a}` both want {ports} of {nodes} at {first}"),
            count => {
                format!("`j{b}` and `j{a}` both want {ports} of {nodes} {count} times, first at {first}")
            }
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    let network = prop_oneof![6 => Just(0_usize), 2 => Just(1), 1 => Just(2)];
    (network, prop::collection::btree_set(0..PORTS.len(), 0..3))
        .prop_map(|(network, ports)| Part { network, ports: ports.into_iter().collect() })
}

fn job() -> impl Strategy<Value = Job> {
    let length = prop_oneof![3 => 1..120_i64, 2 => 120..5_000_i64, 1 => Just(3_595), 1 => 5_000..80_000_i64];
    let when = (prop::option::weighted(0.85, cron()), zone(), 0..200_000_i64, 1..200_000_i64, length);
    let nodes = prop::collection::btree_set(0..NODES, 1..3);
    let server = prop::option::of((0..NODES, part()));
    (when, prop::bool::weighted(0.3), nodes, part(), server).prop_map(
        |((cron, zone, start, window, length), exclusive, nodes, client, server)| Job {
            cron,
            zone,
            start,
            window,
            length,
            exclusive,
            nodes: nodes.into_iter().collect(),
            client,
            server,
        },
    )
}

fn bed() -> impl Strategy<Value = Bed> {
    let guard = || prop_oneof![Just(0_i64), Just(5), 0..600_i64];
    (beginning(), [guard(), guard(), guard()], prop::collection::vec(job(), 1..5), 0..150_000_i64)
        .prop_map(|(beginning, guards, jobs, now)| Bed { beginning, guards, jobs, now })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_port_is_as_the_oracle_has_it(bed in bed()) {
        prop_assert_eq!(bed.found(), bed.expected());
    }
}

/// Of a hundred jobs that want one port at the same time, each is told of some of the others and of how many more.
#[test]
fn many_at_one_port_are_no_flood() {
    let job = || Job {
        cron: None,
        zone: Tz::UTC,
        start: 3_600,
        window: 1,
        length: 60,
        exclusive: false,
        nodes: vec![0],
        client: Part { network: 0, ports: vec![0] },
        server: None,
    };
    let beginning = "2027-01-10T12:00:00Z".parse().unwrap();
    let bed = Bed { beginning, guards: [5; NODES], jobs: (0..100).map(|_| job()).collect(), now: 0 };
    let found = bed.found();
    // Of the first eight, no pair is left out; all others are told of eight and of the rest.
    let (pairs, rest): (Vec<_>, Vec<_>) = found.iter().partition(|text| text.contains(" both want "));
    assert_eq!((pairs.len(), rest.len()), (8 * 7 / 2 + 92 * 8, 91));
    assert!(found.contains("`j98` wants ports of 90 more jobs, which are not shown"), "{rest:?}");
}

const BED: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: ann }\nspec: {}\n---\n\
                   apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n0 }\nspec: { owner: ann }\n";

fn daily(name: &str, port: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: ann\n  nodes: [n0]\n  exclusive: false\n  \
         schedule: {{ cron: \"0 12 * * *\", start: 2026-12-01T00:00:00Z, end: 2027-02-01T00:00:00Z, length: 2m }}\n  \
         container: {{ image: x, ports: [{port}] }}\n"
    )
}

fn tree(jobs: &[(&str, String)]) -> Vec<Arc<Source>> {
    let bed = ("bed.yaml", BED.to_owned());
    let files = std::iter::once(&bed).chain(jobs);
    files.map(|(path, text)| Arc::new(Source::read(path, Entry::File(text.as_bytes())))).collect()
}

#[test]
fn the_job_that_a_change_moves_to_a_port_is_told() {
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let base = tree(&[("a.yaml", daily("a", "80/tcp")), ("b.yaml", daily("b", "81/tcp"))]);
    let change = tree(&[("a.yaml", daily("a", "81/tcp")), ("b.yaml", daily("b", "81/tcp"))]);
    let shown = |sources: &[Arc<Source>], base: &[Arc<Source>]| {
        let findings = check_change(sources, base, now).findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        (findings[0].location.clone().unwrap().file, findings[0].message.starts_with("`a` and `b` both want"))
    };
    assert_eq!(shown(&change, &base), ("a.yaml".to_owned(), true));
    assert_eq!(shown(&change, &[]), ("b.yaml".to_owned(), false), "without a base it is the later one");
}

#[test]
fn what_is_found_stays_the_same_as_time_goes_by_and_another_port_is_new() {
    let both = |port: &str| tree(&[("a.yaml", daily("a", port)), ("b.yaml", daily("b", port))]);
    let (base, other) = (both("80/tcp"), both("81/tcp"));
    let before = check(&base, "2026-11-24T00:00:00Z".parse().unwrap());
    for (tree, is_new) in [(&base, false), (&other, true)] {
        let mut report = check(tree, "2026-12-24T00:00:00Z".parse().unwrap());
        assert_ne!(report.findings[0].message, before.findings[0].message, "the figures differ");
        novelty::mark(&mut report, tree, &before, &base);
        assert_eq!(report.findings[0].new, Some(is_new));
    }
}
