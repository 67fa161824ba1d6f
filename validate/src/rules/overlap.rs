//! `self-overlap` and `schedule-conflict`: on each node, the reservations of exclusive jobs and the
//! maintenance windows keep out of each other's way.

use std::collections::BTreeMap;

use almanac_schemas::{Cron, Instant, Job, Schedule, schedule::Timing};
use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;

use super::{Context, Draft, Place, schedule::resolved};
use crate::{
    Rule,
    conflict::{Claim, Clash, Holder, clashes, free_offsets},
    words::{in_words, listed},
};

/// How many claims are compared in the search for free offsets. They are a courtesy, and must not take
/// much longer than the check.
const SEARCH_STEPS: u32 = 1_000_000;

/// How many conflicts of a job with jobs that are declared before it are shown one by one.
const MAX_CONFLICTS: usize = 8;

/// An exclusive job that can be reasoned about.
struct Exclusive<'a> {
    job: &'a Job,
    place: &'a Place,
    schedule: Schedule,
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

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let mut jobs: Vec<Exclusive<'_>> = context
        .whole_jobs()
        .filter(|(job, _)| job.spec.exclusive)
        .filter_map(|(job, place)| Some(Exclusive { job, place, schedule: resolved(context, job)? }))
        .collect();
    // Of two in each other's way, the later one is to move: one that a change brings, if it is a change.
    jobs.sort_by_key(|job| (!context.stands(job.job), job.place.file, job.place.spot.document));
    let calendars = calendars(context, &jobs);

    // What a node's claims are computed to is dropped again with the node.
    let found: Vec<_> = calendars
        .par_iter()
        .map(|(_, calendar)| (calendar, clashes(&calendar.claims(&jobs, context.now))))
        .collect();
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

    // With hundreds of jobs at the same time, each with each would be a flood in which nobody finds anything.
    let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
    let mut advice = Advice {
        jobs: &jobs,
        calendars: &calendars,
        claims: BTreeMap::new(),
        given: BTreeMap::new(),
        from: context.now,
        steps: SEARCH_STEPS,
    };
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
            Party::Job(second) if first == second => self_overlap(&jobs[first], conflict),
            Party::Job(second) => {
                let draft = between_jobs(&jobs[first], &jobs[second], conflict);
                let otherwise =
                    "let one of them start at another time, shorten its `length`, or set `exclusive: false`";
                advice.give(draft, second, otherwise)
            }
            Party::Maintenance(node, index) => {
                let draft = with_maintenance(context, &jobs[first], node, index, conflict);
                let otherwise =
                    "leave the hours of the maintenance out, or ask the node's owner to move the maintenance";
                advice.give(draft, first, otherwise)
            }
        };
        drafts.push(draft);
    }
    let cut = shown.into_iter().filter(|(_, count)| *count > MAX_CONFLICTS);
    drafts.extend(cut.map(|(job, count)| further(&jobs[job], count - MAX_CONFLICTS)));
}

/// What is said of conflicts that are not shown one by one.
fn further(exclusive: &Exclusive<'_>, count: usize) -> Draft {
    let name = &exclusive.job.metadata.name;
    let message = match count {
        1 => format!("`{name}` is in the way of one more job, which is not shown"),
        count => format!("`{name}` is in the way of {count} more jobs, which are not shown"),
    };
    Draft::new(Rule::ScheduleConflict, exclusive.timing(), message)
        .help("choose another time for it, and check again")
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
        let schedules = self.jobs.iter().map(|index| &jobs[*index].schedule);
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

fn self_overlap(exclusive: &Exclusive<'_>, conflict: &Conflict<'_>) -> Draft {
    let name = &exclusive.job.metadata.name;
    let schedule = exclusive.place.key("spec").key("schedule");
    let (first, second) = (conflict.first.first_a, conflict.first.first_b);
    let gap = (second.start - first.start).abs();
    let reserved = exclusive.schedule.length + conflict.guard;
    let message = if conflict.guard.is_zero() {
        format!(
            "each run of `{name}` takes {}, but the next one starts after {}",
            in_words(reserved),
            in_words(gap)
        )
    } else {
        format!(
            "each run of `{name}` reserves {} for {} ({} and a guard of {}), but the next one starts after {}",
            nodes_in_words(&conflict.nodes),
            in_words(reserved),
            in_words(exclusive.schedule.length),
            in_words(conflict.guard),
            in_words(gap),
        )
    };
    let room = gap - conflict.guard;
    let help = if room > TimeDelta::zero() {
        format!(
            "shorten `length` to {} at most, let it run less often, or set `exclusive: false`",
            in_words(room)
        )
    } else {
        "let it run less often, or set `exclusive: false`".to_owned()
    };
    let starts = format!("runs start at {} and at {}", Instant(first.start), Instant(second.start));
    Draft::new(Rule::SelfOverlap, schedule.key("length"), message)
        .related(starts, schedule.key("cron"))
        .help(help)
}

fn between_jobs(a: &Exclusive<'_>, b: &Exclusive<'_>, conflict: &Conflict<'_>) -> Draft {
    let message = format!(
        "`{}` and `{}` both reserve {} {}",
        b.job.metadata.name,
        a.job.metadata.name,
        nodes_in_words(&conflict.nodes),
        how_often(conflict),
    );
    Draft::new(Rule::ScheduleConflict, b.timing(), message)
        .related(b.reserves(conflict.first.first_b), b.timing())
        .related(a.reserves(conflict.first.first_a), a.timing())
}

fn with_maintenance(
    context: &Context<'_>,
    job: &Exclusive<'_>,
    node: &str,
    index: usize,
    conflict: &Conflict<'_>,
) -> Draft {
    let message = format!(
        "`{}` reserves {} during its maintenance {}",
        job.job.metadata.name,
        nodes_in_words(&conflict.nodes),
        how_often(conflict)
    );
    let mut draft = Draft::new(Rule::ScheduleConflict, job.timing(), message)
        .related(job.reserves(conflict.first.first_a), job.timing());
    if let Some(declared) = context.nodes.get(node) {
        let window = conflict.first.first_b;
        let text = format!("maintenance from {} to {}", Instant(window.start), Instant(window.end));
        let place = declared.place.key("spec").key("maintenance").index(index).key("cron");
        draft = draft.related(text, place);
    }
    draft
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

fn how_often(conflict: &Conflict<'_>) -> String {
    let first = Instant(conflict.first.first_instant());
    match conflict.count {
        1 => format!("at {first}"),
        count => format!("{count} times, first at {first}"),
    }
}

fn nodes_in_words(nodes: &[&str]) -> String {
    let word = if nodes.len() == 1 { "node" } else { "nodes" };
    format!("{word} {}", listed(nodes.iter().copied()))
}

/// Looks for what would make a conflict go away.
struct Advice<'c, 'a> {
    jobs: &'c [Exclusive<'a>],
    calendars: &'c BTreeMap<&'a str, Calendar<'a>>,
    /// The claims of the nodes that were looked at, as they are once all advice is taken.
    claims: BTreeMap<&'a str, Vec<Claim>>,
    /// The jobs that were advised about.
    given: BTreeMap<usize, Option<Cron>>,
    from: DateTime<Utc>,
    /// How many claims may still be compared.
    steps: u32,
}

impl Advice<'_, '_> {
    /// Adds a free offset for a job, if one is easily found, and `otherwise` if not.
    fn give(&mut self, draft: Draft, job: usize, otherwise: &str) -> Draft {
        match self.advice(job) {
            Some(cron) => {
                let name = &self.jobs[job].job.metadata.name;
                let old = self.jobs[job].job.spec.schedule.cron.as_ref().map_or("", |cron| cron.as_str());
                draft.help(format!("`cron: \"{cron}\"` is free for `{name}` on all of its nodes")).fix(
                    self.jobs[job].timing(),
                    old,
                    cron.as_str(),
                )
            }
            None => draft.help(otherwise),
        }
    }

    /// Where a job is to go. Who is advised later stays clear of that: taken together, all advice moves
    /// jobs apart and none into another's way.
    fn advice(&mut self, job: usize) -> Option<Cron> {
        if let Some(given) = self.given.get(&job) {
            return given.clone();
        }
        let cron = self.free_offset(job);
        let schedule = &self.jobs[job].schedule;
        if let (Some(cron), Timing::Cron { zone, .. }) = (&cron, &schedule.timing) {
            let timing = Timing::Cron { cron: cron.clone(), zone: *zone };
            let moved = Schedule { timing, ..schedule.clone() };
            for calendar in self.calendars.values() {
                let position = calendar.jobs.iter().position(|index| *index == job);
                let claims = self.claims.get_mut(calendar.name);
                if let Some(claim) = position.and_then(|position| claims?.get_mut(position)) {
                    *claim = Claim::new(&moved, calendar.guard, Holder::Job, self.from, moved.end);
                }
            }
        }
        self.given.insert(job, cron.clone());
        cron
    }

    fn free_offset(&mut self, job: usize) -> Option<Cron> {
        let schedule = &self.jobs[job].schedule;
        if self.steps == 0 || matches!(schedule.timing, Timing::At(_)) {
            return None;
        }
        let concerned: Vec<_> =
            self.calendars.values().filter(|calendar| calendar.jobs.contains(&job)).collect();
        for calendar in &concerned {
            let claims = self.claims.entry(calendar.name);
            claims.or_insert_with(|| calendar.claims(self.jobs, self.from));
        }
        // The longest guard of its nodes suits all of them.
        let guard = concerned.iter().map(|calendar| calendar.guard).max()?;
        let (claims, steps) = (&self.claims, &mut self.steps);
        let others = concerned.iter().flat_map(|calendar| {
            let positions = calendar.jobs.iter().map(Some).chain(std::iter::repeat(None));
            let others = positions.zip(&claims[calendar.name]).filter(|(index, _)| *index != Some(&job));
            others.map(|(_, claim)| claim)
        });
        let others: Vec<&Claim> = others.collect();
        let mut exhausted = false;
        let free = |claim: &Claim| {
            others.iter().all(|other| {
                exhausted |= *steps == 0;
                *steps = steps.saturating_sub(1);
                !exhausted && claim.meets(other).is_none()
            })
        };
        free_offsets(schedule, guard, self.from, free).next()
    }
}
