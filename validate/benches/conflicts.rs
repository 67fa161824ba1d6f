//! The conflict engine, from schedules and from manifests.
//!
//! `cargo bench -p almanac-validate --bench conflicts`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::{fmt::Write, hint::black_box, sync::Arc, time::Duration};

use almanac_schemas::{Schedule, schedule::Timing};
use almanac_validate::{
    Entry, Source, check,
    conflict::{Claim, Holder, clashes},
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use criterion::{Criterion, criterion_group, criterion_main};

const GUARD: TimeDelta = TimeDelta::seconds(5);

/// Five zones, all with daylight saving, whose changes are at five different times.
const ZONES: [Tz; 5] = [
    Tz::Europe__London,
    Tz::America__New_York,
    Tz::Australia__Sydney,
    Tz::America__Santiago,
    Tz::Africa__Cairo,
];

/// The zone of a job by its number.
type ZoneOf = fn(usize) -> Tz;

const MIXES: [(&str, ZoneOf); 2] = [("UTC", |_| Tz::UTC), ("five zones", |job| ZONES[job % 5])];

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    utc("2026-11-24T12:34:56Z")
}

/// A year from the first of December.
fn recurring(cron: &str, zone: Tz, length: i64) -> Schedule {
    Schedule {
        timing: Timing::Cron { cron: cron.parse().unwrap(), zone },
        start: utc("2026-12-01T00:00:00Z"),
        end: utc("2027-12-01T00:00:00Z"),
        length: TimeDelta::seconds(length),
    }
}

fn claim(schedule: &Schedule) -> Claim {
    Claim::new(schedule, GUARD, Holder::Job, now(), schedule.end)
}

/// What ten jobs of a node do, none in another's way in any zone that is whole hours ahead of UTC:
/// expressions or instants, and lengths in seconds.
const MIX: [(&str, i64); 10] = [
    ("*/15 * * * *", 120),
    ("5 * * * *", 120),
    ("10 */2 * * *", 180),
    ("20 3 * * *", 200),
    ("24 4,16 * * MON-FRI", 240),
    ("35 5 1,15 * *", 240),
    ("40 6 L * *", 240),
    ("50 7 * * SUN#1", 540),
    ("2027-01-10T13:48:00Z", 60),
    ("2027-06-10T02:33:00Z", 60),
];

/// The mix on each of so many nodes.
fn nodes(count: usize, zone: impl Fn(usize) -> Tz) -> Vec<Vec<Schedule>> {
    let schedule = |index: usize, (when, length): (&str, i64)| match when.parse() {
        Ok(at) => Schedule {
            timing: Timing::At(at),
            start: DateTime::UNIX_EPOCH,
            end: DateTime::<Utc>::MAX_UTC,
            length: TimeDelta::seconds(length),
        },
        Err(_) => recurring(when, zone(index), length),
    };
    (0..count)
        .map(|node| MIX.iter().enumerate().map(|(job, what)| schedule(node + job, *what)).collect())
        .collect()
}

/// The same as manifests, one per file, with more in the specs of jobs and of their containers.
fn manifests(
    count: usize,
    zone: impl Fn(usize) -> Tz,
    (of_job, of_container): (&str, &str),
) -> Vec<(String, String)> {
    let mut files = vec![(
        "users.yaml".to_owned(),
        "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: { role: admin }\n".to_owned(),
    )];
    for node in 0..count {
        let name = format!("node-{node:05}");
        files.push((
            format!("nodes/{name}.yaml"),
            format!(
                "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name} }}\nspec: {{ owner: alice }}\n"
            ),
        ));
        for (job, (when, length)) in MIX.iter().enumerate() {
            let timing = match when.parse::<DateTime<Utc>>() {
                Ok(_) => format!("at: {when}\n"),
                Err(_) => format!(
                    "cron: \"{when}\"\n    timezone: {}\n    start: 2026-12-01T00:00:00Z\n    end: 2027-12-01T00:00:00Z\n",
                    zone(node + job)
                ),
            };
            let mut text = format!("apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name}-{job} }}\n");
            write!(
                text,
                "spec:\n  owner: alice\n  description: Measures something between two places, as often as it can\n  \
                 nodes: [{name}]\n  schedule:\n    {timing}    length: {length}s\n  container:\n    \
                 image: registry.example.org/probes/iperf:3.17\n    command: [iperf3, -c, example.org, -J]\n    \
                 env: {{ STREAMS: \"4\" }}\n    resources: {{ cpus: 1, memory: 256MiB, pids: 64 }}\n{of_container}{of_job}"
            )
            .unwrap();
            files.push((format!("jobs/{name}-{job}.yaml"), text));
        }
    }
    files
}

/// What is parsed; nothing is wrong with it.
fn sources(files: &[(String, String)]) -> Vec<Arc<Source>> {
    let read = |(path, text): &(String, String)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
    let sources: Vec<_> = files.iter().map(read).collect();
    assert_eq!(check(&sources, now()).findings, []);
    sources
}

/// The number of clashes, node by node.
fn engine(nodes: &[Vec<Schedule>]) -> usize {
    let of_node = |node: &Vec<Schedule>| clashes(&node.iter().map(claim).collect::<Vec<_>>()).len();
    nodes.iter().map(of_node).sum()
}

fn many_nodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a year, ten jobs a node");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    for (name, zone) in MIXES {
        for count in [1_000, 10_000] {
            let nodes = nodes(count, zone);
            assert_eq!(engine(&nodes), 0);
            group.bench_function(format!("{count} nodes, {name}: engine, one core"), |bencher| {
                bencher.iter(|| engine(black_box(&nodes)));
            });
            let sources = sources(&manifests(count, zone, ("", "")));
            group.bench_function(format!("{count} nodes, {name}: check of what is parsed"), |bencher| {
                bencher.iter(|| check(black_box(&sources), now()).findings.len());
            });
        }
    }
}

/// What ports add to a check: every job of a node wants the same two.
fn ports(criterion: &mut Criterion) {
    const PORTS: &str = "    ports: [5201/tcp, 5201/udp]\n";
    let mut group =
        criterion.benchmark_group("a year, ten jobs on each of 1000 nodes, check of what is parsed");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    for (name, more) in [
        ("exclusive, without ports", ("", "")),
        ("exclusive, with ports", ("", PORTS)),
        ("not exclusive, without ports", ("  exclusive: false\n", "")),
        ("not exclusive, with ports", ("  exclusive: false\n", PORTS)),
    ] {
        let sources = sources(&manifests(1_000, |_| Tz::UTC, more));
        group.bench_function(name, |bencher| {
            bencher.iter(|| check(black_box(&sources), now()).findings.len());
        });
    }
}

fn one_node(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a year, one node");
    for (name, zone) in MIXES {
        // Zones move jobs by hours, so that each has its own minutes: 500 jobs in 30 groups of even minutes.
        let many: Vec<_> = (0..500)
            .map(|job| match name {
                "UTC" => recurring(&format!("{} {} * * *", 2 * job % 60, 2 * job / 60), zone(job), 100),
                _ => recurring(&format!("{} {} {} * *", job % 60, job / 60, 1 + job % 28), zone(job), 50),
            })
            .collect();
        if name == "UTC" {
            assert_eq!(engine(std::slice::from_ref(&many)), 0);
        }
        group.bench_function(format!("500 jobs at minute offsets, {name}"), |bencher| {
            bencher.iter(|| engine(black_box(std::slice::from_ref(&many))));
        });

        let interleaved: Vec<_> =
            (0..5).map(|job| recurring(&format!("{job}-59/5 * * * *"), zone(job), 50)).collect();
        let claims: Vec<_> = interleaved[1..].iter().map(claim).collect();
        let met = |added: &Claim| claims.iter().filter(|other| added.meets(other).is_some()).count();
        assert_eq!(met(&claim(&interleaved[0])), 0);
        group.bench_function(format!("`*/5` against four interleaved `*/5`, {name}"), |bencher| {
            bencher.iter(|| {
                let added = claim(black_box(&interleaved[0]));
                (added.overlaps_itself().is_none(), met(&added))
            });
        });
        group.bench_function(format!("five interleaved `*/5`, nothing computed before, {name}"), |bencher| {
            bencher.iter(|| engine(black_box(std::slice::from_ref(&interleaved))));
        });

        let daily: Vec<_> = (0..100)
            .map(|job| recurring(&format!("{} {} * * *", job % 50, job / 5 % 24), zone(job), 30))
            .collect();
        let claims: Vec<_> = daily.iter().map(claim).collect();
        let added = recurring("55 7 * * *", zone(3), 120);
        group.bench_function(format!("one daily job added to 100, {name}"), |bencher| {
            bencher.iter(|| {
                let added = claim(black_box(&added));
                claims.iter().filter(|other| added.meets(other).is_some()).count()
            });
        });
    }
}

criterion_group!(benches, one_node, ports, many_nodes);
criterion_main!(benches);
