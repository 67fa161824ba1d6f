//! A cron expression is read or refused with a place, and what is computed of it agrees with itself.
#![no_main]

use almanac_schemas::{Cron, Schedule, Timetable, cron::CronProblem, schedule::Timing};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::TZ_VARIANTS;
use libfuzzer_sys::fuzz_target;

/// The most starts that are looked at one by one.
const MOST: usize = 500;

/// The expression, and at the end of the input the zone, the instant and the span, 14 bytes of them.
fn parts(input: &[u8]) -> Option<(&str, u16, i64, u32)> {
    let (rest, span) = input.split_last_chunk()?;
    let (rest, from) = rest.split_last_chunk()?;
    let (text, zone) = rest.split_last_chunk()?;
    let text = std::str::from_utf8(text).ok()?;
    Some((text, u16::from_le_bytes(*zone), i64::from_le_bytes(*from), u32::from_le_bytes(*span)))
}

fuzz_target!(|input: &[u8]| {
    let Some((text, zone, from, span)) = parts(input) else { return };
    let cron = match text.parse::<Cron>() {
        Ok(cron) => cron,
        Err(error) => {
            let _ = &text[error.range.clone()];
            assert!(error.range.start <= error.range.end);
            assert!(!matches!(error.problem, CronProblem::Refused(_)), "{text:?}: {error}");
            return;
        }
    };
    assert_eq!(cron.to_string(), text);
    assert_eq!(cron.to_string().parse::<Cron>().as_ref(), Ok(&cron));
    let zone = TZ_VARIANTS[usize::from(zone) % TZ_VARIANTS.len()];

    // Any instant that there is, with those at the ends.
    let range = DateTime::<Utc>::MAX_UTC.timestamp() - DateTime::<Utc>::MIN_UTC.timestamp();
    let anywhere = DateTime::<Utc>::MIN_UTC.timestamp() + from.rem_euclid(range + 1);
    for instant in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC]
        .into_iter()
        .chain(DateTime::from_timestamp(anywhere, 0))
    {
        let next = cron.next(instant, zone);
        assert!(next.is_none_or(|next| next >= instant), "{text:?} in {zone} from {instant}: {next:?}");
    }

    // Between 1970 and 2106, and up to 60 days.
    let start = DateTime::from_timestamp(from.rem_euclid(1 << 32), span % 2 * 1_000).expect("it is in range");
    let end = start + TimeDelta::seconds(i64::from(span) % (60 * 86_400));
    let schedule = Schedule {
        timing: Timing::Cron { cron: cron.clone(), zone },
        start,
        end,
        length: TimeDelta::seconds(1),
    };
    let table = Timetable::new(&schedule, start, end);
    let (first, last) = (start.timestamp_micros(), end.timestamp_micros());
    assert_eq!(table.count_between(first, last), table.count());
    assert_eq!(table.count_between(i64::MIN, i64::MAX), table.count());
    assert_eq!(table.next(i64::MAX), None);
    assert_eq!(table.previous(i64::MIN), None);

    let starts: Vec<i64> = table.starts(i64::MIN).take(MOST).collect();
    for (index, at) in starts.iter().enumerate() {
        assert!((first..last).contains(at));
        assert_eq!(table.next(*at), Some(*at));
        assert_eq!(table.count_between(first, *at), index as u64);
        assert_eq!(table.previous(at + 1), Some(*at));
        let earlier = index.checked_sub(1).map(|index| starts[index]);
        assert_eq!(table.previous(*at), earlier);
        assert!(earlier.is_none_or(|earlier| earlier < *at));
    }
    if starts.len() < MOST {
        assert_eq!(table.count(), starts.len() as u64);
        assert_eq!(table.previous(i64::MAX), starts.last().copied());
    }
    // The other ways to ask say the same.
    let listed =
        schedule.occurrences(start, end).take(MOST).map(|occurrence| occurrence.start.timestamp_micros());
    assert_eq!(listed.collect::<Vec<_>>(), starts);
    assert_eq!(schedule.next(start).map(|next| next.start.timestamp_micros()), starts.first().copied());
    if let Some(next) = cron.next(start, zone).filter(|next| *next < end) {
        assert_eq!(Some(next.timestamp_micros()), starts.first().copied());
    }
});
