//! What would make a conflict go away: another offset for a job, with the same period.

use std::collections::BTreeMap;

use almanac_schemas::{Cron, Schedule, schedule::Timing};
use chrono::{DateTime, Utc};

use super::{Calendar, Exclusive};
use crate::{
    conflict::{Claim, Holder, free_offsets},
    rules::Draft,
};

/// How many claims are compared in the search for free offsets. They are a courtesy, and must not take
/// much longer than the check.
const SEARCH_STEPS: u32 = 3_000_000;

/// As many comparisons take about as long as computing the calendar of an offset that is tried.
const CANDIDATE_STEPS: u32 = 100;

/// Looks for what would make a conflict go away.
pub(super) struct Advice<'c, 'a> {
    jobs: &'c [Exclusive<'a>],
    /// The calendars of each job's nodes.
    calendars: Vec<Vec<&'c Calendar<'a>>>,
    /// The claims of the nodes that were looked at, as they are once all advice is taken.
    claims: BTreeMap<&'a str, Vec<Claim>>,
    /// The jobs that were advised about.
    given: BTreeMap<usize, Option<Cron>>,
    from: DateTime<Utc>,
    /// How many claims may still be compared.
    steps: u32,
}

impl<'c, 'a> Advice<'c, 'a> {
    pub(super) fn new(
        jobs: &'c [Exclusive<'a>],
        nodes: &'c BTreeMap<&'a str, Calendar<'a>>,
        from: DateTime<Utc>,
    ) -> Self {
        let mut calendars = vec![Vec::new(); jobs.len()];
        for calendar in nodes.values() {
            for job in &calendar.jobs {
                calendars[*job].push(calendar);
            }
        }
        Self { jobs, calendars, claims: BTreeMap::new(), given: BTreeMap::new(), from, steps: SEARCH_STEPS }
    }

    /// Adds a free offset for a job, if one is easily found, and `otherwise` if not.
    pub(super) fn give(&mut self, draft: Draft, job: usize, otherwise: &str) -> Draft {
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
            let moved = Schedule { timing, ..Schedule::clone(schedule) };
            for calendar in &self.calendars[job] {
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
        let concerned = &self.calendars[job];
        for calendar in concerned {
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
            *steps = steps.saturating_sub(CANDIDATE_STEPS);
            others.iter().all(|other| {
                exhausted |= *steps == 0;
                *steps = steps.saturating_sub(1);
                !exhausted && claim.meets(other).is_none()
            })
        };
        free_offsets(schedule, guard, self.from, free).next()
    }
}
