//! The computed calendar against `croner`'s enumeration, and against itself.

use std::collections::BTreeSet;

use almanac_schemas::{Cron, Schedule, Timetable, schedule::Timing};
use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;

/// What `croner` enumerates in `[from, to)`, beginning a second earlier: it does not find what is moved
/// to the end of a gap when it is asked from there on.
fn enumerated(cron: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(cron).unwrap();
    let mut at = zone.from_utc_datetime(&(from - TimeDelta::seconds(1)).naive_utc());
    let mut found = Vec::new();
    while let Ok(next) = cron.find_next_occurrence(&at, false) {
        if next.to_utc() >= to {
            break;
        }
        found.push(next.to_utc());
        at = next;
    }
    found
}

fn schedule(cron: &str, zone: Tz) -> Schedule {
    Schedule {
        timing: Timing::Cron { cron: cron.parse().unwrap(), zone },
        start: DateTime::UNIX_EPOCH,
        end: DateTime::<Utc>::MAX_UTC,
        length: TimeDelta::seconds(60),
    }
}

fn computed(cron: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let schedule = schedule(cron, zone);
    let table = Timetable::new(&schedule, from, to);
    let starts: Vec<_> =
        table.starts(i64::MIN).map(|at| DateTime::from_timestamp_micros(at).unwrap()).collect();
    assert_eq!(table.count(), starts.len() as u64);
    assert_eq!(schedule.occurrences(from, to).map(|next| next.start).collect::<Vec<_>>(), starts);
    starts
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The changes of a zone's clocks from a year to another, found day by day.
fn changes(zone: Tz, years: std::ops::Range<i32>) -> Vec<DateTime<Utc>> {
    let offset = |second: i64| {
        let naive = DateTime::from_timestamp(second, 0).unwrap().naive_utc();
        zone.offset_from_utc_datetime(&naive).fix().local_minus_utc()
    };
    let year = |year: i32| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap().timestamp();
    let mut found = Vec::new();
    for day in (year(years.start)..year(years.end)).step_by(86_400) {
        if offset(day) != offset(day + 86_400) {
            let (mut low, mut high) = (day, day + 86_400);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if offset(middle) == offset(day) { low = middle } else { high = middle }
            }
            found.push(DateTime::from_timestamp(high, 0).unwrap());
        }
    }
    found
}

/// In all zones, around every change of the clocks in some years: one time of day, lists, steps and
/// ranges, every one of which is skipped or repeated in some zone.
#[test]
fn every_change_of_clocks_is_as_croner_has_it() {
    let crons = [
        "30 1 * * *",
        "0 2 * * *",
        "30 2 * * SUN",
        "15,45 0-3 * * *",
        "*/20 * * * *",
        "0 23 * * SAT",
        "30 23 * * *",
        "0 0 * * *",
        "59 59 1 * * *",
        "0 3 L * *",
        "30 0 * * *",
        "10 22 * * *",
    ];
    let offset = |zone: Tz, at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let mut compared = 0;
    // Zones that do the same at the same time need not be looked at twice.
    let mut seen = BTreeSet::new();
    for zone in TZ_VARIANTS {
        for change in changes(zone, 2026..2028) {
            let offsets =
                [-1, 0].map(|second| offset(zone, change + TimeDelta::seconds(second)).local_minus_utc());
            if !seen.insert((change, offsets)) {
                continue;
            }
            for cron in crons {
                for from in [
                    change - TimeDelta::days(2),
                    change - TimeDelta::seconds(1),
                    change,
                    change + TimeDelta::minutes(20),
                ] {
                    let to = change + TimeDelta::days(2);
                    assert_eq!(
                        computed(cron, zone, from, to),
                        enumerated(cron, zone, from, to),
                        "{cron} in {zone} from {from}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 4_000, "{compared}");
}

/// Changes are looked for in strides, which would miss two that undo each other.
#[test]
fn no_zone_changes_its_clocks_forth_and_back_within_days() {
    let years = if cases(1) > 1 { 1970..2120 } else { 2020..2045 };
    for zone in TZ_VARIANTS {
        let changes = changes(zone, years.clone());
        for pair in changes.windows(2) {
            assert!(pair[1] - pair[0] > TimeDelta::days(4), "{zone}: {} and {}", pair[0], pair[1]);
        }
    }
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (low..=high).prop_map(|value| value.to_string()),
        (1..=high).prop_map(|step| format!("*/{step}")),
        (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (low..=high, low..=high, 1..=high).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
        prop::collection::btree_set(low..=high, 1..4).prop_map(|set| set
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")),
    ]
}

fn days() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("* * *".to_owned()),
        (field(1, 31), field(1, 12)).prop_map(|(day, month)| format!("{day} {month} *")),
        (field(1, 12), field(0, 7)).prop_map(|(month, week)| format!("* {month} {week}")),
        (field(1, 31), field(1, 12), field(0, 7))
            .prop_map(|(day, month, week)| format!("{day} {month} {week}")),
        Just("L * *".to_owned()),
        Just("LW * *".to_owned()),
        (1..=31u32).prop_map(|day| format!("{day}W * *")),
        (0..=6u32, 1..=5u32).prop_map(|(weekday, nth)| format!("* * {weekday}#{nth}")),
        (0..=6u32).prop_map(|weekday| format!("* * {weekday}L")),
        Just("1-7 * +MON".to_owned()),
        Just("15 JAN-MAR,OCT MON-FRI".to_owned()),
        Just("29 2 *".to_owned()),
    ]
}

fn cron() -> impl Strategy<Value = String> {
    let seconds = prop_oneof![3 => Just(String::new()), 1 => (0..60u32).prop_map(|second| format!("{second} ")), 1 => Just("*/20 ".to_owned())];
    (seconds, field(0, 59), field(0, 23), days())
        .prop_map(|(seconds, minutes, hours, days)| format!("{seconds}{minutes} {hours} {days}"))
        .prop_filter("it never fires", |cron| cron.parse::<Cron>().is_ok())
}

fn zone() -> impl Strategy<Value = Tz> {
    prop_oneof![
        Just(Tz::UTC),
        Just(Tz::Europe__London),
        Just(Tz::America__New_York),
        Just(Tz::Asia__Kolkata),
        Just(Tz::Asia__Kathmandu),
        Just(Tz::Australia__Lord_Howe),
        Just(Tz::Australia__Adelaide),
        Just(Tz::Africa__Casablanca),
        Just(Tz::Antarctica__Troll),
        Just(Tz::America__Nuuk),
        Just(Tz::America__St_Johns),
        Just(Tz::Pacific__Chatham),
        (0..TZ_VARIANTS.len()).prop_map(|index| TZ_VARIANTS[index]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), ..ProptestConfig::default() })]

    #[test]
    fn any_expression_is_as_croner_has_it(
        cron in cron(), zone in zone(), start in 0..31_536_000i64, length in 1..2_500_000i64,
    ) {
        let from = utc("2026-11-24T00:00:00Z") + TimeDelta::seconds(start);
        // Enumerating every second of a month takes too long.
        let length = if cron.split(' ').count() == 6 { length / 20 } else { length };
        let to = from + TimeDelta::seconds(length);
        prop_assert_eq!(computed(&cron, zone, from, to), enumerated(&cron, zone, from, to));
    }

    #[test]
    fn searching_and_counting_agree_with_the_list(
        cron in cron(), zone in zone(), start in 0..31_536_000i64, length in 1..400_000i64,
        at in -10_000..410_000i64, span in 0..100_000i64,
    ) {
        let from = utc("2026-11-24T00:00:00Z") + TimeDelta::seconds(start);
        let table = Timetable::new(&schedule(&cron, zone), from, from + TimeDelta::seconds(length));
        let all: Vec<i64> = table.starts(i64::MIN).collect();
        prop_assert!(all.is_sorted_by(|a, b| a < b));
        let at = from.timestamp_micros() + at * 1_000_000 + at % 3;
        let to = at + span * 1_000_000;
        prop_assert_eq!(table.next(at), all.iter().copied().find(|start| *start >= at));
        prop_assert_eq!(table.previous(at), all.iter().copied().rfind(|start| *start < at));
        let within = all.iter().filter(|start| at <= **start && **start < to).count();
        prop_assert_eq!(table.count_between(at, to), within as u64);
    }
}

/// So many cases, or as many more as `ALMANAC_NIGHTLY` asks for.
fn cases(normal: u32) -> u32 {
    let factor =
        std::env::var_os("ALMANAC_NIGHTLY").map(|factor| factor.to_str().unwrap().parse::<u32>().unwrap());
    factor.unwrap_or(1) * normal
}

#[test]
fn rare_dates_are_found_and_impossible_ones_refused() {
    let next = |cron: &str, from: &str| cron.parse::<Cron>().unwrap().next(utc(from), Tz::UTC).unwrap();
    assert_eq!(next("0 0 29 2 *", "2097-01-01T00:00:00Z"), utc("2104-02-29T00:00:00Z"));
    assert_eq!(next("0 0 29 2 +MON", "2027-01-01T00:00:00Z"), utc("2044-02-29T00:00:00Z"));
    assert_eq!(next("0 0 * * *", "2027-01-01T00:00:00.000001Z"), utc("2027-01-02T00:00:00Z"));
    assert!("0 0 30 2 *".parse::<Cron>().is_err());
    assert!("0 0 31 4,6 *".parse::<Cron>().is_err());
}
