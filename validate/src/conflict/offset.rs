//! Free offsets for a recurring job: the same period, other minutes.

use almanac_schemas::{Cron, Schedule, schedule::Timing};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Claim, Holder};

const HOURS: u32 = 0xFF_FFFF;
const MINUTES: u64 = (1 << 60) - 1;

/// A list of minutes longer than this is nothing that one would write.
const LONGEST_LIST: u32 = 6;

/// The expressions with the period of a schedule's at which it overlaps neither itself nor anything of
/// which `free` knows, the next later one first. Reservations that are over at `from` do not count.
///
/// Minutes move within their hour, and a single time of day moves through the day. Where the minutes
/// moved would not have the form of a step, a single number or a short list, they are left out.
pub fn free_offsets(
    schedule: &Schedule,
    guard: TimeDelta,
    from: DateTime<Utc>,
    mut free: impl FnMut(&Claim) -> bool,
) -> impl Iterator<Item = Cron> {
    let timing = match &schedule.timing {
        Timing::Cron { cron, zone } => Some((cron, *zone)),
        Timing::At(_) => None,
    };
    timing.into_iter().flat_map(|(cron, zone)| candidates(cron).map(move |cron| (cron, zone))).filter_map(
        move |(text, zone)| {
            let cron: Cron = text.parse().ok()?;
            let timing = Timing::Cron { cron: cron.clone(), zone };
            let moved = Schedule { timing, ..schedule.clone() };
            let claim = Claim::new(&moved, guard, Holder::Job, from, moved.end);
            (claim.overlaps_itself().is_none() && free(&claim)).then_some(cron)
        },
    )
}

/// The expressions with other minutes and the same period, beginning after the present offset.
fn candidates(cron: &Cron) -> impl Iterator<Item = String> {
    let fields: Vec<String> = cron.as_str().split_whitespace().map(str::to_owned).collect();
    let place = fields.len() - 5;
    let (minutes, hours) = (cron.minutes(), cron.hours());
    let single = hours.count_ones() == 1 && minutes.count_ones() == 1;
    let written_with = move |minutes: String, hours: Option<String>| {
        let mut fields = fields.clone();
        fields[place] = minutes;
        fields[place + 1] = hours.unwrap_or_else(|| std::mem::take(&mut fields[place + 1]));
        fields.join(" ")
    };
    let time = 60 * hours.trailing_zeros() + minutes.trailing_zeros();
    let times = (1..1_440).take_while(move |_| single).map(move |shift| {
        let time = (time + shift) % 1_440;
        ((time % 60).to_string(), Some((time / 60).to_string()))
    });
    let sets = shifted(minutes, hours).take_while(move |_| !single);
    times
        .chain(sets.filter_map(|minutes| Some((written(minutes)?, None))))
        .map(move |(minutes, hours)| written_with(minutes, hours))
}

/// The sets of minutes that a set can be moved to: around the clock where every hour is selected, else
/// within the hour, first later, then earlier.
fn shifted(minutes: u64, hours: u32) -> impl Iterator<Item = u64> {
    let every_hour = hours == HOURS;
    let turned = move |shift: u32| (minutes << shift & MINUTES) | minutes >> (60 - shift);
    let around =
        (1..60).take_while(move |_| every_hour).map(turned).take_while(move |moved| *moved != minutes);
    let later = (1..60).take_while(move |shift| !every_hour && minutes >> (60 - shift) == 0);
    let earlier = (1..60).take_while(move |shift| !every_hour && minutes & ((1 << shift) - 1) == 0);
    around.chain(later.map(move |shift| minutes << shift)).chain(earlier.map(move |shift| minutes >> shift))
}

/// A set of minutes as people write it.
fn written(minutes: u64) -> Option<String> {
    let values: Vec<u32> = (0..60).filter(|minute| minutes >> minute & 1 == 1).collect();
    if let [first, second, ..] = values[..] {
        let step = second - first;
        let last = values[values.len() - 1];
        let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
        // A step goes on to the end of the hour, and begins within its own length.
        if even && last + step > 59 && first < step && values.len() > 2 {
            return Some(if first == 0 { format!("*/{step}") } else { format!("{first}-59/{step}") });
        }
    }
    let list = || values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    (minutes.count_ones() <= LONGEST_LIST).then(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        candidates(&text.parse().unwrap()).collect()
    }

    #[test]
    fn offsets_keep_the_period() {
        assert_eq!(all("*/4 * * * *"), ["1-59/4 * * * *", "2-59/4 * * * *", "3-59/4 * * * *"]);
        assert_eq!(all("2-59/3 * * * *"), ["*/3 * * * *", "1-59/3 * * * *"]);
        assert_eq!(all("2-59/3 1 * * *"), ["1-59/3 1 * * *", "*/3 1 * * *"]);
        assert_eq!(all("30 */20 * * * *").len(), 19);
        assert_eq!(all("0,30 * * * *")[..2], ["1,31 * * * *", "2,32 * * * *"]);
        assert_eq!(all("57 */2 * * *")[..3], ["58 */2 * * *", "59 */2 * * *", "56 */2 * * *"]);
        assert_eq!(all("59 4 * * *")[..2], ["0 5 * * *", "1 5 * * *"]);
        assert_eq!(all("59 4 * * *").len(), 1_439);
        assert!(all("* * * * *").is_empty());
    }

    #[test]
    fn minutes_are_written_as_people_write_them() {
        let set = |minutes: &[u32]| minutes.iter().fold(0, |set, minute| set | 1 << minute);
        assert_eq!(written(set(&[7, 22, 37, 52])).unwrap(), "7-59/15");
        assert_eq!(written(set(&[0, 30])).unwrap(), "0,30");
        assert_eq!(written(set(&[20, 40])).unwrap(), "20,40");
        assert_eq!(written(set(&[5])).unwrap(), "5");
        assert_eq!(written(set(&[1, 2, 3, 4, 5, 6, 8])), None);
    }
}
