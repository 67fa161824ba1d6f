//! One-shot runs that were moved to another instant than the one that their job's manifest says: there they have their
//! nodes for themselves, as if it were declared.
//!
//! A moved run stands for as long as its job is declared as what was moved: exclusive, for the same `at`, on the same
//! node, in a window that the new instant lies in. How long it takes, and on which other node its server runs, is what the
//! job's manifest says at the time; so whoever changes that is told if it does not fit any more.

use almanac_schemas::{JobName, JobSpec, NodeName, RunRole, Schedule, schedule::Timing};
use chrono::{DateTime, Utc};

use crate::Testbed;

/// A run that was moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// Its job.
    pub job: JobName,
    /// The node of its client.
    pub node: NodeName,
    /// The instant that the manifest says.
    pub at: DateTime<Utc>,
    /// The instant at which it starts instead.
    pub to: DateTime<Utc>,
}

impl Moved {
    /// Whether it still is what a testbed declares.
    pub fn stands(&self, testbed: &Testbed) -> bool {
        testbed
            .jobs
            .get(&self.job)
            .is_some_and(|spec| self.is_of(spec) && testbed.clients(spec).any(|node| *node == self.node))
    }

    /// Whether a job's manifest is that of what was moved, its nodes aside.
    pub(crate) fn is_of(&self, spec: &JobSpec) -> bool {
        let schedule = &spec.schedule;
        spec.exclusive
            && schedule.at.is_some_and(|at| at.0 == self.at)
            && schedule.end.is_none_or(|end| self.to < end.0)
    }

    /// The nodes that it needs, given the manifest of its job.
    pub fn places<'a>(&'a self, spec: &'a JobSpec) -> impl Iterator<Item = (&'a NodeName, RunRole)> {
        let server = spec.server.as_ref().map(|server| (&server.node, RunRole::Server));
        std::iter::once((&self.node, RunRole::Client)).chain(server)
    }

    /// When it runs, given the manifest of its job: once. `None` when that means nothing.
    pub fn schedule(&self, spec: &JobSpec) -> Option<Schedule> {
        let declared = spec.schedule.resolve().ok()?;
        let end = self.to.checked_add_signed(chrono::TimeDelta::microseconds(1))?;
        Some(Schedule { timing: Timing::At(self.to), start: self.to, end, length: declared.length })
    }
}
