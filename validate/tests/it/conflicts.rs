//! The conflict engine against an oracle that lets `croner` enumerate everything and compares every pair.
//!
//! `ALMANAC_NIGHTLY=50` runs fifty times as many cases.

use std::collections::BTreeMap;

use almanac_schemas::{Cron, Occurrence, Schedule, schedule::Timing};
use almanac_validate::conflict::{Claim, Clash, Holder, clashes, free_offsets};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;

/// A claim as data. Times are in seconds after the case's beginning.
#[derive(Debug, Clone)]
struct Case {
    cron: Option<String>,
    zone: Tz,
    start: i64,
    window: i64,
    length: i64,
    guard: i64,
    maintenance: bool,
}

/// Some claims, when the case begins, and the present in seconds after that.
#[derive(Debug, Clone)]
struct Scene {
    beginning: DateTime<Utc>,
    cases: Vec<Case>,
    now: i64,
}

/// No job lasts longer than that.
const HORIZON: i64 = 900_000;

impl Case {
    fn schedule(&self, beginning: DateTime<Utc>) -> Schedule {
        let start = beginning + TimeDelta::seconds(self.start);
        let timing = match &self.cron {
            Some(cron) => Timing::Cron { cron: cron.parse().unwrap(), zone: self.zone },
            None => Timing::At(start),
        };
        let (start, end) = match self.holder() {
            Holder::Maintenance => (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC),
            Holder::Job => (start, start + TimeDelta::seconds(self.window)),
        };
        Schedule { timing, start, end, length: TimeDelta::seconds(self.length) }
    }

    fn holder(&self) -> Holder {
        if self.maintenance && self.cron.is_some() { Holder::Maintenance } else { Holder::Job }
    }

    fn claim(&self, beginning: DateTime<Utc>, now: DateTime<Utc>) -> Claim {
        let guard = TimeDelta::seconds(self.guard);
        let until = beginning + TimeDelta::seconds(HORIZON);
        Claim::new(&self.schedule(beginning), guard, self.holder(), now, until)
    }

    /// Every reservation that is not over at `now`.
    fn expanded(&self, beginning: DateTime<Utc>, now: DateTime<Utc>) -> Vec<Occurrence> {
        let schedule = self.schedule(beginning);
        let held = TimeDelta::seconds(self.length + self.guard);
        let from = schedule.start.max(now - held);
        let to = schedule.end.min(beginning + TimeDelta::seconds(HORIZON));
        let starts = match &self.cron {
            Some(cron) => enumerated(cron, self.zone, from, to),
            None => vec![schedule.start],
        };
        let reservations = starts.into_iter().map(|start| Occurrence { start, end: start + held });
        reservations.filter(|reservation| reservation.end > now).collect()
    }
}

impl Scene {
    fn now(&self) -> DateTime<Utc> {
        self.beginning + TimeDelta::seconds(self.now)
    }

    fn claims(&self) -> Vec<Claim> {
        self.cases.iter().map(|case| case.claim(self.beginning, self.now())).collect()
    }

    /// The pairs that clash, with the first instant and the count of each.
    fn found(&self) -> BTreeMap<(usize, usize), (DateTime<Utc>, u64)> {
        let clashes = clashes(&self.claims());
        clashes.iter().map(|clash| ((clash.a, clash.b), (clash.first_instant(), clash.count))).collect()
    }

    /// The same, by brute force.
    fn expected(&self) -> BTreeMap<(usize, usize), (DateTime<Utc>, u64)> {
        let now = self.now();
        let expanded: Vec<_> = self.cases.iter().map(|case| case.expanded(self.beginning, now)).collect();
        let itself = |index: usize| {
            let all: &Vec<Occurrence> = &expanded[index];
            let job = self.cases[index].holder() == Holder::Job;
            all.windows(2).filter(|_| job).find(|pair| pair[0].intersects(&pair[1])).map(|pair| pair[1].start)
        };
        let mut found = BTreeMap::new();
        for a in 0..self.cases.len() {
            if let Some(start) = itself(a) {
                found.insert((a, a), (start, 1));
                continue;
            }
            for b in a + 1..self.cases.len() {
                let idle = |index: usize| self.cases[index].holder() == Holder::Maintenance;
                if idle(a) && idle(b) || itself(b).is_some() {
                    continue;
                }
                for x in &expanded[a] {
                    // All of one claim are of the same length, so that their ends are in order as well.
                    let from = expanded[b].partition_point(|y| y.end <= x.start);
                    for y in expanded[b][from..].iter().take_while(|y| y.start < x.end) {
                        let instant = x.start.max(y.start);
                        let entry = found.entry((a, b)).or_insert((instant, 0));
                        *entry = (entry.0.min(instant), entry.1 + 1);
                    }
                }
            }
        }
        found
    }
}

/// What `croner` finds in `[from, to)`. It begins a second earlier: asked from the end of a gap on, it
/// does not find what is moved there.
pub(crate) fn enumerated(cron: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(cron).unwrap();
    let before = DateTime::from_timestamp(from.timestamp() - 1, 0).unwrap();
    let mut at = zone.from_utc_datetime(&before.naive_utc());
    let mut found = Vec::new();
    while let Ok(next) = cron.find_next_occurrence(&at, false) {
        if next.to_utc() >= to {
            break;
        }
        found.extend(Some(next.to_utc()).filter(|next| *next >= from));
        at = next;
    }
    found
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (low..=high).prop_map(|value| value.to_string()),
        (1..=high / 2).prop_map(|step| format!("*/{step}")),
        (low..=high / 3, 1..=high / 2).prop_map(move |(start, step)| format!("{start}-{high}/{step}")),
        (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        prop::collection::btree_set(low..=high, 2..4).prop_map(|set| set
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")),
    ]
}

pub(crate) fn cron() -> impl Strategy<Value = String> {
    let seconds = prop_oneof![
        6 => Just(String::new()),
        2 => (0..60u32).prop_map(|second| format!("{second} ")),
        1 => Just("*/30 ".to_owned()),
        1 => Just("5,50 ".to_owned()),
    ];
    let days = prop_oneof![
        6 => Just("* * *".to_owned()),
        1 => field(1, 31).prop_map(|day| format!("{day} * *")),
        1 => field(0, 7).prop_map(|weekday| format!("* * {weekday}")),
        1 => (field(1, 31), field(0, 6)).prop_map(|(day, weekday)| format!("{day} * {weekday}")),
        1 => prop_oneof![
            Just("L * *"), Just("LW * *"), Just("1W * *"), Just("31W * *"), Just("* * SUN#5"), Just("* * 6L"),
            Just("* * MON-FRI"), Just("* OCT,MAR,APR SUN"), Just("25-31 * +SUN"), Just("1,15,28 JAN-DEC *"),
        ].prop_map(str::to_owned),
    ];
    (seconds, field(0, 59), field(0, 23), days)
        .prop_map(|(seconds, minutes, hours, days)| format!("{seconds}{minutes} {hours} {days}"))
        .prop_filter("it never fires", |cron| cron.parse::<Cron>().is_ok())
}

pub(crate) fn zone() -> impl Strategy<Value = Tz> {
    prop_oneof![
        Just(Tz::UTC),
        Just(Tz::Europe__London),
        Just(Tz::America__New_York),
        Just(Tz::America__St_Johns),
        Just(Tz::Asia__Kolkata),
        Just(Tz::Asia__Kathmandu),
        Just(Tz::Australia__Sydney),
        Just(Tz::Australia__Adelaide),
        Just(Tz::Australia__Lord_Howe),
        Just(Tz::Pacific__Auckland),
        Just(Tz::America__Santiago),
        Just(Tz::Antarctica__Troll),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let length = prop_oneof![
        3 => 1..120i64, 2 => 120..5_000i64, 1 => Just(55), 1 => Just(3_595), 1 => 5_000..100_000i64,
        1 => 100_000..400_000i64,
    ];
    let shape = (prop::option::weighted(0.85, cron()), zone(), 0..200_000i64, 1..300_000i64);
    (shape, length, prop_oneof![Just(0), Just(5), 0..600i64], prop::bool::weighted(0.15)).prop_map(
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

/// A few hours before clocks change in one or the other of the zones.
pub(crate) fn beginning() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        Just("2027-10-30T20:00:00Z"),
        Just("2027-03-27T20:00:00Z"),
        Just("2027-03-13T20:00:00Z"),
        Just("2027-11-06T20:00:00Z"),
        Just("2027-04-03T04:00:00Z"),
        Just("2027-10-02T04:00:00Z"),
        Just("2027-09-25T04:00:00Z"),
        Just("2028-02-27T00:00:00Z"),
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn scene(count: std::ops::Range<usize>) -> impl Strategy<Value = Scene> {
    (beginning(), prop::collection::vec(case(), count), 0..150_000i64)
        .prop_map(|(beginning, cases, now)| Scene { beginning, cases, now })
}

/// So many cases, or as many times more as `ALMANAC_NIGHTLY` says.
pub(crate) fn cases(normal: u32) -> ProptestConfig {
    let factor =
        std::env::var_os("ALMANAC_NIGHTLY").map(|factor| factor.to_str().unwrap().parse::<u32>().unwrap());
    ProptestConfig { cases: normal * factor.unwrap_or(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn pairs_are_as_the_oracle_has_them(scene in scene(2..3)) {
        prop_assert_eq!(scene.found(), scene.expected());
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn sets_are_as_the_oracle_has_them(scene in scene(1..7)) {
        prop_assert_eq!(scene.found(), scene.expected());
    }

    #[test]
    fn a_free_offset_is_free(mut scene in scene(2..4)) {
        scene.cases[0].maintenance = false;
        let schedule = scene.cases[0].schedule(scene.beginning);
        let guard = TimeDelta::seconds(scene.cases[0].guard);
        let others = scene.claims().split_off(1);
        let free = |claim: &Claim| others.iter().all(|other| claim.meets(other).is_none());
        let cron = free_offsets(&schedule, guard, scene.now(), free).next();
        if let Some(cron) = cron {
            prop_assert_ne!(Some(cron.as_str()), scene.cases[0].cron.as_deref());
            scene.cases[0].cron = Some(cron.to_string());
            prop_assert!(!scene.expected().keys().any(|(a, _)| *a == 0));
        }
    }
}

fn pair(a: (&str, i64), b: (&str, i64)) -> Vec<Clash> {
    let case = |(cron, length): (&str, i64)| Case {
        cron: Some(cron.to_owned()),
        zone: Tz::UTC,
        start: 0,
        window: 86_400,
        length,
        guard: 5,
        maintenance: false,
    };
    let beginning = "2027-10-30T00:00:00Z".parse().unwrap();
    clashes(&Scene { beginning, cases: vec![case(a), case(b)], now: 0 }.claims())
}

#[test]
fn touching_reservations_do_not_clash() {
    assert_eq!(pair(("0 * * * *", 1_795), ("30 * * * *", 1_795)), []);
    assert_eq!(pair(("0 * * * *", 1_796), ("30 * * * *", 1_700))[0].count, 24);
}

/// In 152 of 597 zones, what is due in the hour that daylight saving skips runs at its end.
#[test]
fn what_is_moved_by_daylight_saving_meets_what_is_there_already() {
    let case = |cron: &str| Case {
        cron: Some(cron.to_owned()),
        zone: Tz::Europe__Paris,
        start: 0,
        window: 365 * 86_400,
        length: 600,
        guard: 5,
        maintenance: false,
    };
    let beginning: DateTime<Utc> = "2026-11-24T00:00:00Z".parse().unwrap();
    let scene = Scene { beginning, cases: vec![case("0 2 * * *"), case("0 3 * * *")], now: 0 };
    let claim = |case: &Case| {
        let schedule = case.schedule(beginning);
        Claim::new(&schedule, TimeDelta::seconds(5), Holder::Job, beginning, schedule.end)
    };
    let found = clashes(&scene.cases.iter().map(claim).collect::<Vec<_>>());
    assert_eq!((found.len(), found[0].count), (1, 1));
    assert_eq!(found[0].first_instant(), "2027-03-28T01:00:00Z".parse::<DateTime<Utc>>().unwrap());
}
