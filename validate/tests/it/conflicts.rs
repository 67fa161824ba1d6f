//! The conflict engine against an oracle that expands everything and compares every pair.

use std::collections::BTreeMap;

use almanac_schemas::{
    Occurrence, Schedule,
    schedule::{OnMissed, ScheduleSpec},
};
use almanac_validate::conflict::{Claim, Holder, clashes, free_offset};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// A claim as data.
#[derive(Debug, Clone)]
struct Case {
    cron: Option<String>,
    zone: &'static str,
    start: i64,
    window: i64,
    length: i64,
    guard: i64,
    maintenance: bool,
}

impl Case {
    fn schedule(&self) -> Schedule {
        let start: DateTime<Utc> = at(self.start);
        let mut schedule = ScheduleSpec {
            cron: self.cron.as_ref().map(|cron| cron.parse().unwrap()),
            at: self.cron.is_none().then_some(start.into()),
            timezone: self.zone.parse().unwrap(),
            start: Some(start.into()),
            end: Some(at(self.start + self.window).into()),
            length: almanac_schemas::Duration::from_secs(self.length.cast_unsigned()),
            start_deadline: almanac_schemas::Duration::from_secs(30),
            on_missed: OnMissed::Skip,
        }
        .resolve()
        .unwrap();
        if self.maintenance {
            schedule.start = DateTime::UNIX_EPOCH;
            schedule.end = DateTime::<Utc>::MAX_UTC;
        }
        schedule
    }

    fn claim<'a>(&self, schedule: &'a Schedule) -> Claim<'a> {
        let maintenance = self.maintenance && self.cron.is_some();
        Claim {
            schedule,
            guard: TimeDelta::seconds(self.guard),
            holder: if maintenance { Holder::Maintenance } else { Holder::Job },
        }
    }
}

/// Seconds from the evening before daylight saving ends in London.
fn at(seconds: i64) -> DateTime<Utc> {
    let base: DateTime<Utc> = "2027-10-30T20:00:00Z".parse().unwrap();
    base + TimeDelta::seconds(seconds)
}

/// Every reservation that is not over before `from`, of a span that holds all jobs.
fn expand(claim: &Claim<'_>, from: DateTime<Utc>) -> Vec<Occurrence> {
    let reserved = |next: Occurrence| next.lengthened(claim.guard);
    claim
        .schedule
        .occurrences(at(-400_000), at(900_000))
        .map(reserved)
        .filter(|reservation| reservation.end > from)
        .collect()
}

/// The pairs that clash, with their first instant and count; a claim that overlaps itself alone.
fn oracle(claims: &[Claim<'_>], from: DateTime<Utc>) -> BTreeMap<(usize, usize), (DateTime<Utc>, u64)> {
    let expanded: Vec<_> = claims.iter().map(|claim| expand(claim, from)).collect();
    let overlaps_itself = |index: usize| {
        let all: &Vec<Occurrence> = &expanded[index];
        claims[index].holder == Holder::Job && all.windows(2).any(|pair| pair[0].intersects(&pair[1]))
    };
    let mut found = BTreeMap::new();
    for a in 0..claims.len() {
        if overlaps_itself(a) {
            found.insert((a, a), (DateTime::UNIX_EPOCH, 1));
            continue;
        }
        for b in a + 1..claims.len() {
            let both_idle =
                claims[a].holder == Holder::Maintenance && claims[b].holder == Holder::Maintenance;
            if both_idle || overlaps_itself(b) {
                continue;
            }
            for x in &expanded[a] {
                for y in expanded[b].iter().filter(|y| x.intersects(y)) {
                    let instant = x.start.max(y.start);
                    let entry = found.entry((a, b)).or_insert((instant, 0));
                    *entry = (entry.0.min(instant), entry.1 + 1);
                }
            }
        }
    }
    found
}

fn cron() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        (0..60u32).prop_map(|minute| minute.to_string()),
        (1..31u32).prop_map(|step| format!("*/{step}")),
        (0..20u32, 5..31u32).prop_map(|(start, step)| format!("{start}-59/{step}")),
        (0..30u32, 30..60u32).prop_map(|(a, b)| format!("{a},{b}")),
    ];
    let hour = prop_oneof![
        Just("*".to_owned()),
        (0..24u32).prop_map(|hour| hour.to_string()),
        (0..12u32, 12..24u32).prop_map(|(a, b)| format!("{a}-{b}")),
        (1..13u32).prop_map(|step| format!("*/{step}")),
    ];
    let day = prop_oneof![Just("* * *"), Just("31 * *"), Just("* * SUN"), Just("L * *"), Just("* * 0-3")];
    (prop_oneof![4 => Just(""), 1 => Just("30 ")], minute, hour, day)
        .prop_map(|(second, minute, hour, day)| format!("{second}{minute} {hour} {day}"))
}

fn case() -> impl Strategy<Value = Case> {
    let zone = prop_oneof![
        Just("UTC"),
        Just("Europe/London"),
        Just("Asia/Kolkata"),
        Just("America/New_York"),
        Just("Australia/Lord_Howe")
    ];
    let length = prop_oneof![1..120i64, 120..5_000i64, Just(60), Just(3_600), 5_000..100_000i64];
    let shape = (prop::option::weighted(0.8, cron()), zone, 0..200_000i64, 1..300_000i64);
    (shape, length, prop_oneof![Just(0), Just(5), 0..600i64], prop::bool::weighted(0.2)).prop_map(
        |((cron, zone, start, window), length, guard, maintenance)| Case {
            cron,
            zone,
            start,
            window,
            length,
            guard,
            maintenance,
        },
    )
}

fn compare(cases: &[Case], from: DateTime<Utc>) -> Result<(), TestCaseError> {
    let schedules: Vec<_> = cases.iter().map(Case::schedule).collect();
    let claims: Vec<_> = cases.iter().zip(&schedules).map(|(case, schedule)| case.claim(schedule)).collect();
    let found = clashes(&claims, from);
    prop_assert!(found.complete);
    let found: BTreeMap<_, _> = found
        .pairs
        .iter()
        .map(|clash| {
            let alone = clash.a == clash.b;
            let instant = if alone { DateTime::UNIX_EPOCH } else { clash.first_instant() };
            ((clash.a, clash.b), (instant, clash.count))
        })
        .collect();
    prop_assert_eq!(found, oracle(&claims, from));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_free_offset_is_free(cases in prop::collection::vec(case(), 2..4), from in 0..150_000i64) {
        let schedules: Vec<_> = cases.iter().map(Case::schedule).collect();
        let mut claims: Vec<_> =
            cases.iter().zip(&schedules).map(|(case, schedule)| case.claim(schedule)).collect();
        let found = free_offset(&claims[0], &[claims[1..].to_vec()], at(from), &mut 100_000);
        if let Some(cron) = found {
            prop_assert_ne!(cron.as_str(), cases[0].cron.as_deref().unwrap());
            let moved = Case { cron: Some(cron.to_string()), ..cases[0].clone() };
            let schedule = moved.schedule();
            claims[0] = moved.claim(&schedule);
            prop_assert!(!oracle(&claims, at(from)).keys().any(|(a, _)| *a == 0));
        }
    }

    #[test]
    fn the_engine_agrees_with_the_oracle(cases in prop::collection::vec(case(), 1..5), from in 0..150_000i64) {
        compare(&cases, at(from))?;
    }
}

#[test]
fn touching_reservations_do_not_clash() {
    let case = |cron: &str, length, guard| Case {
        cron: Some(cron.to_owned()),
        zone: "UTC",
        start: 0,
        window: 86_400,
        length,
        guard,
        maintenance: false,
    };
    let count = |cases: [Case; 2]| {
        let schedules = cases.each_ref().map(Case::schedule);
        let claims = [cases[0].claim(&schedules[0]), cases[1].claim(&schedules[1])];
        clashes(&claims, at(0)).pairs.iter().map(|clash| clash.count).sum::<u64>()
    };
    assert_eq!(count([case("0 * * * *", 1_795, 5), case("30 * * * *", 1_795, 5)]), 0);
    assert_eq!(count([case("0 * * * *", 1_796, 5), case("30 * * * *", 1_700, 5)]), 24);
}
