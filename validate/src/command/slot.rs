//! `almanac-validate slot`.

use almanac_schemas::{Duration, Instant, NodeName, Occurrence, When, config::ScheduleBounds};
use almanac_validate::{
    calendar::{
        Calendar, FewerHours, FreeCron, Period, claimants, entries, fewer_hours, free_crons, gaps, longest,
        rounded,
    },
    words::in_words,
};
use anyhow::bail;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{
    now::Now,
    print::{print, say},
    source::Place,
    testbed,
};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Examples:
  almanac-validate slot --node london-01 --length 10m
  almanac-validate slot --node london-01 --node paris-01 --length 5m --every 2h
  almanac-validate slot --node london-01 --length 1h --after 2027-01-10 --before 2027-01-12

Exit codes:
  0  there is room
  1  there is none, or the manifests have errors
  2  the command could not be run";

/// Find when an exclusive job can run without getting in anybody's way.
///
/// Standard output is a `schedule` for the job's manifest, to be put below its `spec:`; standard error
/// says for how long there is room. The guard that is kept after each run, maintenance, and all jobs that
/// the folder declares are taken into account.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Slot {
    #[command(flatten)]
    place: Place,

    /// On this node; given several times, on all of them at once.
    ///
    /// A client and its server need their nodes at once.
    #[arg(long = "node", value_name = "NODE", required = true)]
    nodes: Vec<NodeName>,

    /// How long each run may take, such as 10m.
    #[arg(long, value_name = "DURATION")]
    length: Duration,

    /// Again and again with this period, such as 15m, 2h, 1d; once when it is not given.
    ///
    /// A divisor of an hour in minutes, a divisor of a day in hours, 1d or 1w.
    #[arg(long, value_name = "DURATION")]
    every: Option<Period>,

    /// From this time on.
    ///
    /// RFC 3339, a date, `now`, `today`, `tomorrow`, `+1d`. Days begin at midnight UTC.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    after: When,

    /// Up to this time; to the midnight in 30 days when it is not given.
    ///
    /// A run is over by then; with --every, the last one has started.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    before: Option<When>,

    #[command(flatten)]
    now: Now,
}

/// How far ahead is looked when nothing is said about it.
const AHEAD: TimeDelta = TimeDelta::days(30);

/// How many of those in the way are named.
const NAMED: usize = 4;

/// How many other offsets are named.
const OTHERS: usize = 3;

/// A question about some nodes and a time.
struct Search<'c, 'a> {
    calendars: &'c [Calendar<'a>],
    length: TimeDelta,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
}

impl Slot {
    /// Finds it.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let now = self.now.instant();
        // What is over counts for nothing: neither does a job run then, nor is it in anybody's way.
        let after = self.after.resolve(now).max(now);
        let ahead = || (after + AHEAD).duration_trunc(TimeDelta::days(1)).unwrap_or(after + AHEAD);
        let before = self.before.map_or_else(ahead, |before| before.resolve(now));
        if before <= after {
            bail!("there is no time from {} to {}", Instant(after), Instant(before));
        }
        let Some(testbed) = testbed::read(&self.place, now)? else { return Ok(Exit::Findings) };
        let calendars = testbed::calendars(&testbed, &self.nodes)?;
        self.within(&testbed.config.schedule, before - after)?;
        for calendar in calendars.iter().filter(|calendar| calendar.spec().cordoned) {
            say(&format!("`{}` is cordoned: nothing starts there until that is over", calendar.node()));
        }
        let search = Search { calendars: &calendars, length: self.length.to_delta(), after, before };
        match self.every {
            None => search.once(),
            Some(every) => search.recurring(every),
        }
    }

    /// Refuses what the testbed's bounds would refuse.
    fn within(&self, bounds: &ScheduleBounds, window: TimeDelta) -> anyhow::Result<()> {
        let length = self.length;
        if length < bounds.min_length {
            bail!(
                "a run of {length} is shorter than the {} required (`schedule.minLength` of the `Config`)",
                bounds.min_length
            );
        }
        if length > bounds.max_length {
            bail!(
                "a run of {length} is longer than the {} allowed (`schedule.maxLength` of the `Config`)",
                bounds.max_length
            );
        }
        if self.every.is_some() && window > bounds.max_window.to_delta() {
            bail!(
                "{} days are longer than the {} that a schedule may last (`schedule.maxWindow` of the `Config`): choose an earlier `--before`",
                window.num_days(),
                bounds.max_window
            );
        }
        Ok(())
    }
}

impl Search<'_, '_> {
    fn once(&self) -> anyhow::Result<Exit> {
        let mut longest: Option<Occurrence> = None;
        for gap in gaps(self.calendars, self.after, self.before) {
            if gap.end - gap.start >= self.length {
                return self.found(gap);
            }
            if longest.is_none_or(|longest| gap.end - gap.start > longest.end - longest.start) {
                longest = Some(gap);
            }
        }
        let remedy = match longest {
            Some(gap) => {
                format!("the longest gap is {}, from {}", in_words(gap.end - gap.start), Instant(gap.start))
            }
            None => "there is no gap at all: choose a later `--before`".to_owned(),
        };
        let held = claimants(self.calendars, self.after, self.before);
        let held = held.iter().map(|(claimant, time)| format!("{claimant} takes {}", in_words(*time)));
        self.refuse("", &[remedy], &held.collect::<Vec<_>>())
    }

    fn found(&self, gap: Occurrence) -> anyhow::Result<Exit> {
        let start = rounded(gap, self.length);
        print(|out| {
            writeln!(out, "  schedule:\n    at: {}\n    length: {}", Instant(start), in_words(self.length))
        })?;
        let until = if gap.end == self.before {
            format!("until {} at least", Instant(gap.end))
        } else {
            // The gap ends a guard before it, and what comes first is what ends it.
            let mut next = entries(self.calendars, gap.end, self.before + AHEAD)
                .filter(|entry| entry.reservation().is_some());
            match next.find(|entry| entry.time.start >= gap.end) {
                Some(next) => format!("until {} begins at {}", next.claimant(), Instant(next.time.start)),
                None => format!("until {}", Instant(gap.end)),
            }
        };
        say(&format!(
            "free on {} for {}, {until}",
            testbed::named(self.calendars),
            in_words(gap.end - start)
        ));
        Ok(Exit::Clean)
    }

    fn recurring(&self, every: Period) -> anyhow::Result<Exit> {
        let start = self.after.duration_round_up(TimeDelta::minutes(1)).unwrap_or(self.after);
        let offsets = free_crons(self.calendars, every, self.length, start, self.before);
        let Some((first, others)) = offsets.free.split_first() else {
            let (length, start, end) = (self.length, start, self.before);
            let longest = longest(self.calendars, every, length, start, end);
            let fewer = fewer_hours(self.calendars, every, length, start, end)
                // What leaves out most of the day is not what was asked for.
                .filter(|fewer| fewer.left_out.len() <= fewer.kept.len());
            let mut remedies = Vec::new();
            remedies.extend(fewer.as_ref().map(without_hours));
            remedies.extend(
                longest
                    .map(|longest| format!("runs of at most {} are free at some offset", in_words(longest))),
            );
            if remedies.is_empty() {
                remedies.push(
                    "no offset in whole minutes has room, not even for a second: a longer `--every` or another node may have"
                        .to_owned(),
                );
            }
            let taken = offsets.taken.iter();
            let taken = taken.map(|(claimant, count)| {
                format!("{claimant} is in the way of {count} of {} offsets", offsets.count)
            });
            return self.refuse(&format!(" every {every}"), &remedies, &taken.collect::<Vec<_>>());
        };
        print(|out| {
            writeln!(out, "  schedule:\n    cron: \"{}\"\n    start: {}", first.cron, Instant(start))?;
            writeln!(out, "    end: {}\n    length: {}", Instant(self.before), in_words(self.length))
        })?;
        let room = first.room(self.calendars, every, self.before);
        let nodes = testbed::named(self.calendars);
        let until = Instant(self.before);
        say(&format!(
            "free on {nodes} every {every} until {until}, first at {}, for {} each time",
            Instant(first.first),
            in_words(room),
        ));
        let others = further(first, others, self.length);
        if !others.is_empty() {
            say(&format!("also free: {}", others.join(", ")));
        }
        Ok(Exit::Clean)
    }

    /// Says that there is no room, and who is there.
    fn refuse(&self, how_often: &str, remedies: &[String], holders: &[String]) -> anyhow::Result<Exit> {
        let (length, nodes) = (in_words(self.length), testbed::named(self.calendars));
        let (after, before) = (Instant(self.after), Instant(self.before));
        say(&format!("error: no {length} are free on {nodes}{how_often} from {after} to {before}"));
        holders.iter().take(NAMED).for_each(|holder| say(&format!("  {holder}")));
        if holders.len() > NAMED {
            say(&format!("  and {} more", holders.len() - NAMED));
        }
        remedies.iter().for_each(|remedy| say(&format!("help: {remedy}")));
        Ok(Exit::Findings)
    }
}

/// How an expression with fewer hours is told of.
fn without_hours(fewer: &FewerHours) -> String {
    let hours = match fewer.left_out.as_slice() {
        [hour] => format!("the hour from {hour:02}:00 UTC"),
        hours if hours.len() > NAMED => format!("{} hours of the day", hours.len()),
        hours => {
            let hours: Vec<_> = hours.iter().map(|hour| format!("{hour:02}:00")).collect();
            format!("the hours from {} UTC", hours.join(", "))
        }
    };
    format!("`cron: \"{}\"` is free; it leaves out {hours}", fewer.cron)
}

/// Names other offsets, as far from each other as the length of a run.
fn further(first: &FreeCron, others: &[FreeCron], length: TimeDelta) -> Vec<String> {
    let mut last = first;
    let apart = others.iter().filter(|free| {
        let apart = free.first - last.first >= length;
        if apart {
            last = free;
        }
        apart
    });
    apart.take(OTHERS).map(|free| format!("`{}`", free.cron)).collect()
}
