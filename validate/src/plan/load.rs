//! How much runs, and how much of a node's time it takes.

use std::collections::BTreeMap;

use almanac_schemas::{
    JobName, JobSpec, NodeName, Occurrence, RunRole, Schedule,
    schedule::{ScheduleSpec, Timing},
};
use chrono::{DateTime, TimeDelta, Utc};

use super::instants;
use crate::Testbed;

/// The time that rates are measured over.
const SAMPLE: TimeDelta = TimeDelta::weeks(4);

/// How much of a job runs, on average over the first four weeks that it runs in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Runs per day, those on several nodes each counted. What runs for less than a day counts as if for one.
    pub runs_per_day: f64,
    /// Hours per week in which a node is taken, on all nodes together, servers included. What runs for
    /// less than a week counts as if for one.
    pub node_hours_per_week: f64,
}

/// How much of a node's time is taken by exclusive jobs, with the node's guard, over four weeks.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTime<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// A share from 0 to 1; absent when there was no such node.
    pub before: Option<f64>,
    /// The same afterwards.
    pub after: Option<f64>,
}

impl Load {
    /// The load of a job that is declared in a testbed. `None` when its schedule has no meaning.
    pub(super) fn of(testbed: &Testbed, spec: &JobSpec, now: DateTime<Utc>) -> Option<Self> {
        let schedule = spec.schedule.resolve().ok()?;
        let Some(from) = instants::next(&schedule, now, 1).first().copied() else {
            return Some(Self::default());
        };
        let to = match schedule.timing {
            Timing::At(at) => at + TimeDelta::days(1),
            Timing::Cron { .. } => schedule.end.min(from + SAMPLE),
        };
        let runs = instants::count(&schedule, from, to) as f64;
        let clients = testbed.clients(spec).count();
        let nodes = clients + usize::from(spec.server.is_some());
        let days = ((to - from).num_seconds() as f64 / 86_400.0).max(1.0);
        let hours = schedule.length.num_seconds() as f64 / 3_600.0;
        Some(Self {
            runs_per_day: runs * clients as f64 / days,
            node_hours_per_week: runs * nodes as f64 * hours / (days / 7.0).max(1.0),
        })
    }
}

/// What exclusive jobs take of nodes' time, for one testbed or two that share many jobs.
pub(super) struct Times<'a> {
    now: DateTime<Utc>,
    /// The instants of schedules that were looked at. A schedule does not change with the testbed.
    known: BTreeMap<&'a JobName, Vec<(&'a ScheduleSpec, Starts)>>,
}

/// The instants of a schedule from so long before now that a run may still be going on.
struct Starts {
    length: TimeDelta,
    instants: Vec<DateTime<Utc>>,
}

/// The longest reservation that may have begun before now: a day's run with its guard.
const REACH: TimeDelta = TimeDelta::days(2);

impl<'a> Times<'a> {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self { now, known: BTreeMap::new() }
    }

    /// The shares of some nodes' time that are reserved.
    pub(super) fn shares(
        &mut self,
        testbed: &'a Testbed,
        nodes: &[&'a NodeName],
    ) -> BTreeMap<&'a NodeName, f64> {
        let (from, to) = (self.now, self.now + SAMPLE);
        let mut taken: BTreeMap<&NodeName, Vec<Occurrence>> = BTreeMap::new();
        let present = nodes.iter().filter(|node| testbed.nodes.contains_key(**node));
        taken.extend(present.map(|node| (*node, Vec::new())));
        for assignment in testbed.assignments().filter(|assignment| assignment.spec.exclusive) {
            let Some(intervals) = taken.get_mut(assignment.node) else { continue };
            // A job that is client and server on one node is an error, and holds it once.
            if assignment.role == RunRole::Server
                && testbed.clients(assignment.spec).any(|node| node == assignment.node)
            {
                continue;
            }
            let guard = testbed.nodes.get(assignment.node).map(|node| node.spec.guard.to_delta());
            let Some(starts) = self.starts(assignment.job, &assignment.spec.schedule) else { continue };
            let held = starts.length + guard.unwrap_or_default();
            intervals
                .extend(starts.instants.iter().map(|start| Occurrence { start: *start, end: *start + held }));
        }
        let share = |intervals| {
            instants::covered(intervals, from, to).num_seconds() as f64 / SAMPLE.num_seconds() as f64
        };
        taken.into_iter().map(|(node, intervals)| (node, share(intervals))).collect()
    }

    fn starts(&mut self, job: &'a JobName, spec: &'a ScheduleSpec) -> Option<&Starts> {
        let known = self.known.entry(job).or_default();
        if !known.iter().any(|(other, _)| *other == spec) {
            let schedule: Schedule = spec.resolve().ok()?;
            let instants = instants::within(&schedule, self.now - REACH, self.now + SAMPLE);
            known.push((spec, Starts { length: schedule.length, instants }));
        }
        known.iter().find(|(other, _)| *other == spec).map(|(_, starts)| starts)
    }
}
