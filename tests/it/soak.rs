//! Everything at once, for a while: two agents, a reconciler, a network between them that misbehaves, and kills of all
//! of them at random. At the end each instant of the schedule is accounted for exactly once.
//!
//! `ALMANAC_SOAK=600` makes it last that many seconds; `ALMANAC_SEED` repeats what happened to whom.

mod proxy;

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant},
};

use almanac_tests::{Runtime, Testbed, manifest::Job};
use chrono::{DateTime, TimeDelta, Utc};

use proxy::{Mood, Proxy};

const NODES: [&str; 2] = ["london-01", "paris-01"];

/// The end of both phases, for people who read the counts.
type Counts = BTreeMap<String, usize>;

#[test]
fn each_instant_is_accounted_for_once_whatever_fails() {
    let number = |name: &str| env::var_os(name).map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
    let length = Duration::from_secs(number("ALMANAC_SOAK").unwrap_or(30));
    let seed = number("ALMANAC_SEED").unwrap_or_else(|| Utc::now().timestamp_micros().cast_unsigned());
    println!("soak: {} s, ALMANAC_SEED={seed}", length.as_secs());
    let mut random = Random(seed);
    let mut testbed = Testbed::start(Runtime::Process);
    let ran = testbed.folder().join("ran");
    fs::create_dir(&ran).unwrap();
    let proxies: Vec<Proxy> = NODES.iter().map(|_| Proxy::start(&testbed.server())).collect();
    let start = |testbed: &mut Testbed, index: usize| {
        // An option that is given twice counts as it is given last.
        testbed.spawn_agent(NODES[index], &proxies[index].url());
    };
    for node in NODES {
        let script = format!("echo $ALMANAC_RUN >> {}/{node}", ran.display());
        let job = Job::recurring(node, node, "* * * * * *", "20s", &script);
        testbed.repository.write(&format!("jobs/{node}.yaml"), job.yaml());
    }
    for index in 0..NODES.len() {
        start(&mut testbed, index);
    }
    testbed.push("every second");
    testbed.wait_run(NODES[0], "COMPLETED");
    testbed.wait_run(NODES[1], "COMPLETED");

    let (begun, mut did) = (Instant::now(), Counts::new());
    while begun.elapsed() < length {
        pause(Duration::from_millis(random.below(1_500)));
        let index = usize::try_from(random.below(2)).unwrap();
        let what = match random.below(12) {
            0..=2 => {
                testbed.take_agent(NODES[index]).kill();
                pause(Duration::from_millis(random.below(2_000)));
                start(&mut testbed, index);
                "agent killed"
            }
            3 => {
                testbed.take_reconciler().kill();
                pause(Duration::from_millis(random.below(2_000)));
                testbed.start_reconciler();
                "reconciler killed"
            }
            4 => {
                testbed.take_agent(NODES[index]).terminate();
                start(&mut testbed, index);
                "agent stopped"
            }
            5..=6 => {
                proxies[index].cut();
                "connections cut"
            }
            7..=8 => {
                proxies[index].set(Mood::Slow(Duration::from_millis(50 + random.below(800))));
                "network slow"
            }
            9 => {
                proxies[index].set(Mood::BlackHole);
                "black hole"
            }
            _ => {
                proxies[index].set(Mood::Well);
                "network well"
            }
        };
        *did.entry(what.to_owned()).or_default() += 1;
    }
    let until = Utc::now();
    for proxy in &proxies {
        proxy.set(Mood::Well);
        proxy.cut();
    }
    for node in NODES {
        let accounted = account(&mut testbed, node, until);
        println!("soak: {node}: {accounted:?}");
        let lines = fs::read_to_string(ran.join(node)).unwrap();
        assert_once(&mut testbed, node, &lines, until);
    }
    println!("soak: {did:?}");
}

/// Waits until every run up to an instant has ended, and counts how.
fn account(testbed: &mut Testbed, node: &str, until: DateTime<Utc>) -> Counts {
    testbed.wait_for(&format!("the records of {node}"), |testbed| {
        let runs: Vec<_> = testbed.runs(node).into_iter().filter(|run| instant(run) <= until).collect();
        let is_over = |run: &serde_json::Value| {
            !["DEPLOYING", "RUNNING", "UPLOADING"].contains(&run["phase"].as_str().unwrap())
        };
        let latest = runs.iter().map(instant).max()?;
        if latest < until - TimeDelta::seconds(1) || !runs.iter().all(is_over) {
            return None;
        }
        let mut counts = Counts::new();
        for run in runs {
            let what = format!("{} {}", run["phase"].as_str().unwrap(), run["reason"].as_str().unwrap());
            *counts.entry(what).or_default() += 1;
        }
        Some(counts)
    })
}

fn assert_once(testbed: &mut Testbed, node: &str, ran: &str, until: DateTime<Utc>) {
    let mut runs: Vec<_> = testbed.runs(node).into_iter().filter(|run| instant(run) <= until).collect();
    runs.sort_by_key(instant);
    for pair in runs.windows(2) {
        let step = instant(&pair[1]) - instant(&pair[0]);
        assert_eq!(step, TimeDelta::seconds(1), "{node}: each instant once, after {}", pair[0]);
    }
    for run in &runs {
        let times = ran.lines().filter(|line| *line == run["id"].as_str().unwrap()).count();
        let phase = run["phase"].as_str().unwrap();
        assert!(times <= 1, "{node}: it ran {times} times: {run}");
        assert!(phase != "COMPLETED" || times == 1, "{node}: it is said to have run: {run}");
        assert!(phase != "MISSED" || times == 0, "{node}: it is said to be missed: {run}");
    }
}

fn instant(run: &serde_json::Value) -> DateTime<Utc> {
    run["scheduledAt"].as_str().unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "what happens, happens at random instants")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// SplitMix64 (prng.di.unimi.it/splitmix64.c).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
