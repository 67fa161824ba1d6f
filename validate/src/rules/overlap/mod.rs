//! `self-overlap` and `schedule-conflict`: on each node, the reservations of exclusive jobs and the
//! maintenance windows keep out of each other's way.

mod advice;
mod moved;
mod quiet;
mod wording;

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::{Instant, Job, Schedule};
use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;

use super::{Context, Draft, Place, schedule::resolved, single::Sound};
use crate::conflict::{Claim, Clash, Holder, clashes};
use advice::Advice;
pub(super) use quiet::Quiet;

/// How many conflicts of a job with jobs that are declared before it are shown one by one.
const MAX_CONFLICTS: usize = 8;

/// An exclusive job that can be reasoned about.
struct Exclusive<'a> {
    job: &'a Job,
    place: &'a Place,
    schedule: Arc<Schedule>,
}

/// What holds a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party<'a> {
    /// A job, by its position in the order of documents.
    Job(usize),
    /// A maintenance window of a node, by its position.
    Maintenance(&'a str, usize),
}

/// A node with everything that claims it.
struct Calendar<'a> {
    name: &'a str,
    guard: TimeDelta,
    windows: Vec<Schedule>,
    jobs: Vec<usize>,
}

/// Two parties in each other's way, on all nodes where they are.
struct Conflict<'a> {
    first: Clash,
    guard: TimeDelta,
    nodes: Vec<&'a str>,
    count: u64,
}

pub(super) fn check(context: &Context<'_>, sound: &Sound, quiet: &mut Quiet, drafts: &mut Vec<Draft>) {
    let schedule = |job: &Job| {
        let known = sound.schedule(job, context.now).map(Arc::clone);
        known.or_else(|| resolved(context, job).map(Arc::new))
    };
    let mut jobs: Vec<Exclusive<'_>> = context
        .whole_jobs()
        .filter(|(job, _)| job.spec.exclusive)
        .filter_map(|(job, place)| Some(Exclusive { job, place, schedule: schedule(job)? }))
        .collect();
    // Of two in each other's way, the later one is to move: one that a change brings, if it is a change.
    jobs.sort_by_key(|job| (!context.stands(job.job), job.place.file, job.place.spot.document));
    let calendars = calendars(context, &jobs);
    moved::check(context, &jobs, &calendars, drafts);

    // What a node's claims are computed to is dropped again with the node.
    let found: Vec<_> = calendars
        .par_iter()
        .filter(|(_, calendar)| !quiet.holds(calendar, &jobs, context.now))
        .map(|(_, calendar)| (calendar, clashes(&calendar.claims(&jobs, context.now))))
        .collect();
    quiet.keep(&calendars, &jobs, context.now, &found);
    let mut conflicts: BTreeMap<(Party<'_>, Party<'_>), Conflict<'_>> = BTreeMap::new();
    for (calendar, clashes) in found {
        for mut clash in clashes {
            let mut pair = (calendar.party(clash.a), calendar.party(clash.b));
            if pair.0 > pair.1 {
                (pair.0, pair.1) = (pair.1, pair.0);
                (clash.first_a, clash.first_b) = (clash.first_b, clash.first_a);
            }
            let conflict = conflicts.entry(pair).or_insert(Conflict {
                first: clash,
                guard: calendar.guard,
                nodes: Vec::new(),
                count: 0,
            });
            conflict.nodes.push(calendar.name);
            conflict.count += clash.count;
            if clash.first_instant() < conflict.first.first_instant() {
                (conflict.first, conflict.guard) = (clash, calendar.guard);
            }
        }
    }

    if conflicts.is_empty() {
        return;
    }
    // With hundreds of jobs at the same time, each with each would be a flood in which nobody finds anything.
    let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
    let mut advice = Advice::new(&jobs, &calendars, context.now);
    for ((a, b), conflict) in &conflicts {
        let Party::Job(first) = *a else { continue };
        if let Party::Job(second) = *b
            && first != second
        {
            let shown = shown.entry(second).or_default();
            *shown += 1;
            if *shown > MAX_CONFLICTS {
                continue;
            }
        }
        let draft = match *b {
            Party::Job(second) if first == second => wording::self_overlap(&jobs[first], conflict),
            Party::Job(second) => {
                let draft = wording::between_jobs(&jobs[first], &jobs[second], conflict);
                let otherwise =
                    "let one of them start at another time, shorten its `length`, or set `exclusive: false`";
                advice.give(draft, second, otherwise)
            }
            Party::Maintenance(node, index) => {
                let draft = wording::with_maintenance(context, &jobs[first], node, index, conflict);
                let otherwise =
                    "leave the hours of the maintenance out, or ask the node's owner to move the maintenance";
                advice.give(draft, first, otherwise)
            }
        };
        drafts.push(draft);
    }
    let cut = shown.into_iter().filter(|(_, count)| *count > MAX_CONFLICTS);
    drafts.extend(cut.map(|(job, count)| wording::further(&jobs[job], count - MAX_CONFLICTS)));
}

fn calendars<'c>(context: &'c Context<'_>, jobs: &[Exclusive<'c>]) -> BTreeMap<&'c str, Calendar<'c>> {
    let mut calendars: BTreeMap<&str, Calendar<'_>> = BTreeMap::new();
    for (index, exclusive) in jobs.iter().enumerate() {
        for target in context.targets(exclusive.job) {
            let Some(node) = target.node.and_then(|node| node.manifest) else { continue };
            let name = node.metadata.name.as_str();
            let calendar = calendars.entry(name).or_insert_with(|| Calendar {
                name,
                guard: node.spec.guard.to_delta(),
                windows: node.spec.maintenance.iter().map(|window| window.schedule()).collect(),
                jobs: Vec::new(),
            });
            // A node that is listed twice, or is client and server at once, is reported elsewhere.
            if calendar.jobs.last() != Some(&index) {
                calendar.jobs.push(index);
            }
        }
    }
    calendars
}

impl<'a> Calendar<'a> {
    /// Everything that claims the node: its jobs, then its windows.
    fn claims(&self, jobs: &[Exclusive<'_>], from: DateTime<Utc>) -> Vec<Claim> {
        let schedules = self.jobs.iter().map(|index| &*jobs[*index].schedule);
        let job = |schedule: &Schedule| Claim::new(schedule, self.guard, Holder::Job, from, schedule.end);
        let mut claims: Vec<_> = schedules.map(job).collect();
        // Maintenance goes on for ever; what is later than the last run cannot be in a run's way.
        if let Some(until) = claims.iter().filter_map(Claim::end).max().filter(|_| !self.windows.is_empty()) {
            let window =
                |window: &Schedule| Claim::new(window, TimeDelta::zero(), Holder::Maintenance, from, until);
            claims.extend(self.windows.iter().map(window));
        }
        claims
    }

    /// Whose the claim at a position is.
    fn party(&self, claim: usize) -> Party<'a> {
        match self.jobs.get(claim) {
            Some(job) => Party::Job(*job),
            None => Party::Maintenance(self.name, claim - self.jobs.len()),
        }
    }
}

impl Exclusive<'_> {
    /// Where the manifest says when it runs.
    fn timing(&self) -> Place {
        let schedule = self.place.key("spec").key("schedule");
        schedule.key(if self.job.spec.schedule.at.is_some() { "at" } else { "cron" })
    }

    fn reserves(&self, reservation: almanac_schemas::Occurrence) -> String {
        let (start, end) = (Instant(reservation.start), Instant(reservation.end));
        format!("`{}` holds it from {start} to {end}", self.job.metadata.name)
    }
}
