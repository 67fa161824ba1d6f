//! A free offset for a recurring job: the same period, other minutes.

use almanac_schemas::{Cron, Schedule, schedule::Timing};
use chrono::{DateTime, Utc};

use super::{
    Claim,
    sweep::{Event, Verdict, sweep},
};

/// How many reservations are looked at in the search for one offset. It is a courtesy, and must not
/// take longer than the check.
const MAX_STEPS: u32 = 200_000;

/// A cron expression with the period of `claim`'s at which it gets in nobody's way: neither in its own
/// nor in that of any of the `others` of each node. The offset is the next larger one that is free.
///
/// `None` when there is none, when it takes too long to find, or when the expression's minutes are
/// neither a single one nor plain steps.
pub fn free_offset(claim: &Claim<'_>, nodes: &[Vec<Claim<'_>>], from: DateTime<Utc>) -> Option<Cron> {
    let Timing::Cron { cron, zone } = &claim.schedule.timing else { return None };
    let mut steps = 0;
    candidates(cron.as_str()).into_iter().find_map(|text| {
        let cron: Cron = text.parse().ok()?;
        let timing = Timing::Cron { cron: cron.clone(), zone: *zone };
        let schedule = Schedule { timing, ..claim.schedule.clone() };
        let free = nodes.iter().all(|others| {
            let mut claims = others.clone();
            claims.push(Claim { schedule: &schedule, ..claim.clone() });
            let own = claims.len() - 1;
            let outcome = sweep(&claims, from, |event| match event {
                Event::Reserved if steps == MAX_STEPS => Verdict::Stop,
                Event::Reserved => {
                    steps += 1;
                    Verdict::Continue
                }
                Event::Met { earlier, later } if earlier.0 == own || later.0 == own => Verdict::Stop,
                Event::Met { .. } => Verdict::Continue,
            });
            outcome.is_continue()
        });
        free.then_some(cron)
    })
}

/// The expressions with other minutes and the same period, beginning after the present offset.
fn candidates(text: &str) -> Vec<String> {
    let fields: Vec<_> = text.split_whitespace().collect();
    let Some(place) = fields.len().checked_sub(5).filter(|place| *place <= 1) else { return Vec::new() };
    let minutes = fields[place];
    let (offset, period) = match minutes.split_once('/') {
        None => (minutes.parse().ok(), Some(60)),
        Some(("*", step)) => (Some(0), step.parse().ok()),
        Some((range, step)) => {
            (range.strip_suffix("-59").and_then(|start| start.parse().ok()), step.parse().ok())
        }
    };
    let (Some(offset), Some(period)) = (offset, period) else { return Vec::new() };
    let period: u32 = period;
    if period == 0 || period > 60 || offset >= period {
        return Vec::new();
    }
    let written = |offset: u32| match (minutes.contains('/'), offset) {
        (false, offset) => offset.to_string(),
        (true, 0) => format!("*/{period}"),
        (true, offset) => format!("{offset}-59/{period}"),
    };
    (1..period)
        .map(|shift| {
            let minutes = written((offset + shift) % period);
            let mut fields = fields.clone();
            fields[place] = &minutes;
            fields.join(" ")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_keep_the_period() {
        assert_eq!(candidates("*/4 * * * *"), ["1-59/4 * * * *", "2-59/4 * * * *", "3-59/4 * * * *"]);
        assert_eq!(candidates("2-59/3 1 * * *"), ["*/3 1 * * *", "1-59/3 1 * * *"]);
        assert_eq!(candidates("30 */20 * * * *").len(), 19);
        assert_eq!(candidates("59 4 * * *")[0], "0 4 * * *");
        for other in ["0,30 * * * *", "1-20/5 * * * *", "* * * * *", "x/5 * * * *", "@daily"] {
            assert!(candidates(other).is_empty(), "{other}");
        }
    }
}
