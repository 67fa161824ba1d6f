//! A node's calendar: what is there when.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use almanac_schemas::{JobName, JobSpec, NodeName, NodeSpec, Occurrence, RunRole, Schedule};
use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::{first_fit, in_order};
use crate::{
    Assignment, Moved, Testbed,
    suggest::{did_you_mean, nearest},
};

/// What happens on a node, and when.
#[derive(Debug, Clone)]
pub struct Calendar<'a> {
    node: &'a NodeName,
    spec: &'a NodeSpec,
    streams: Vec<Stream<'a>>,
}

/// Something that recurs on a node.
#[derive(Debug, Clone)]
struct Stream<'a> {
    schedule: Schedule,
    what: What<'a>,
}

/// An interval on a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// From when until when.
    pub time: Occurrence,
    /// How long the node is kept free after it.
    pub guard: TimeDelta,
    /// What is there.
    pub what: What<'a>,
}

/// What is on a node for some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What<'a> {
    /// A run.
    Run {
        /// Of which job.
        job: &'a JobName,
        /// What the job does.
        spec: &'a JobSpec,
        /// Which of its containers.
        role: RunRole,
    },
    /// Maintenance: nothing exclusive may run.
    Maintenance {
        /// The window's position in the node's manifest.
        window: usize,
    },
}

/// Who reserves nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant<'a> {
    /// A job.
    Job(&'a JobName),
    /// A node's maintenance.
    Maintenance(&'a NodeName),
}

/// How much of a time is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utilisation {
    /// How much is.
    pub reserved: TimeDelta,
    /// Of how much.
    pub whole: TimeDelta,
}

/// A node that is not declared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("node `{node}` not found{}", .meant.as_deref().map(|name| format!(" ({})", did_you_mean(name))).unwrap_or_default())]
pub struct UnknownNode {
    node: NodeName,
    meant: Option<String>,
}

impl<'a> Calendar<'a> {
    /// The calendar of a node.
    ///
    /// # Errors
    ///
    /// When the testbed has no such node.
    pub fn new(testbed: &'a Testbed, node: &NodeName) -> Result<Self, UnknownNode> {
        let Some((node, entry)) = testbed.nodes.get_key_value(node) else {
            let meant = nearest(node.as_str(), testbed.nodes.keys().map(NodeName::as_str));
            return Err(UnknownNode { node: node.clone(), meant: meant.map(str::to_owned) });
        };
        let mut calendar = Self::of_maintenance(node, &entry.spec);
        let here = testbed.assignments().filter(|assignment| assignment.node == node);
        calendar.streams.extend(here.filter_map(|assignment| Stream::of(&assignment)));
        Ok(calendar)
    }

    /// The calendars of all nodes, by name.
    pub fn all(testbed: &'a Testbed) -> Vec<Self> {
        let empty = testbed.nodes.iter().map(|(node, entry)| (node, Self::of_maintenance(node, &entry.spec)));
        let mut calendars: BTreeMap<_, _> = empty.collect();
        // All at once: a large testbed has many nodes, and each job would be looked at for each of them.
        for assignment in testbed.assignments() {
            if let Some(calendar) = calendars.get_mut(assignment.node) {
                calendar.streams.extend(Stream::of(&assignment));
            }
        }
        calendars.into_values().collect()
    }

    /// The same, with runs that were moved and still are what a testbed declares.
    #[must_use]
    pub fn with_moved<'m>(
        mut self,
        testbed: &'a Testbed,
        moved: impl IntoIterator<Item = &'m Moved>,
    ) -> Self {
        for run in moved.into_iter().filter(|run| run.stands(testbed)) {
            let Some((job, spec)) = testbed.jobs.get_key_value(&run.job) else { continue };
            let Some(schedule) = run.schedule(spec) else { continue };
            let here = run.places(spec).filter(|(node, _)| *node == self.node);
            self.streams.extend(
                here.map(|(_, role)| Stream {
                    schedule: schedule.clone(),
                    what: What::Run { job, spec, role },
                }),
            );
        }
        self
    }

    /// A calendar on which no job is yet.
    fn of_maintenance(node: &'a NodeName, spec: &'a NodeSpec) -> Self {
        let windows = spec.maintenance.iter().enumerate();
        let windows = windows.map(|(window, maintenance)| Stream {
            schedule: maintenance.schedule(),
            what: What::Maintenance { window },
        });
        Self { node, spec, streams: windows.collect() }
    }

    /// The node.
    pub fn node(&self) -> &'a NodeName {
        self.node
    }

    /// What the node is.
    pub fn spec(&self) -> &'a NodeSpec {
        self.spec
    }

    /// How long the node is kept free after an exclusive run.
    pub fn guard(&self) -> TimeDelta {
        self.spec.guard.to_delta()
    }

    /// What is there at some time in `[from, to)`, guards included, in the order of starts; of what
    /// starts at the same instant, maintenance first, then jobs by name.
    pub fn entries(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = Entry<'a>> {
        entries(std::slice::from_ref(self), from, to)
    }

    /// What reserves the node at some time in `[from, to)`, and for whom, guards included, in the order of
    /// starts.
    pub fn reservations(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = (Occurrence, Claimant<'a>)> + use<'a> {
        let reserving = self.streams.iter().filter(|stream| stream.what.reserves());
        let streams = reserving.map(|stream| self.stream(stream, from, to)).collect();
        in_order(streams)
            .map(|(time, entry): (_, Entry<'a>)| (time.lengthened(entry.guard), entry.claimant()))
    }

    /// How much of `[from, to)` is reserved. What is reserved twice counts once.
    pub fn utilisation(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Utilisation {
        let mut reserved = TimeDelta::zero();
        let mut covered = from;
        for (reservation, _) in self.reservations(from, to) {
            let (start, end) = (reservation.start.max(covered), reservation.end.min(to));
            reserved += (end - start).max(TimeDelta::zero());
            covered = covered.max(end);
        }
        Utilisation { reserved, whole: (to - from).max(TimeDelta::zero()) }
    }

    /// The first time at or after `after` at which a run of some length is in nobody's way, the guard
    /// after it included, and over by `before`.
    pub fn next_free(
        &self,
        length: TimeDelta,
        after: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Option<Occurrence> {
        first_fit(std::slice::from_ref(self), length, after, before)
    }

    /// The occurrences of a stream that, guard included, are there at some time in `[from, to)`.
    fn stream(
        &self,
        stream: &Stream<'a>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> (impl Iterator<Item = Occurrence> + use<'a>, Entry<'a>) {
        let guard = if stream.what.is_guarded() { self.guard() } else { TimeDelta::zero() };
        // What began earlier and is not over by then counts; what is just over does not.
        let reach = stream.schedule.length + guard - TimeDelta::microseconds(1);
        let entry =
            Entry { node: self.node, time: Occurrence { start: from, end: to }, guard, what: stream.what };
        (stream.schedule.occurrences(from - reach, to), entry)
    }
}

impl<'a> Stream<'a> {
    /// What a job does on a node. Of a checked testbed every schedule means something.
    fn of(assignment: &Assignment<'a>) -> Option<Self> {
        let Assignment { job, spec, role, .. } = *assignment;
        Some(Self { schedule: spec.schedule.resolve().ok()?, what: What::Run { job, spec, role } })
    }
}

/// The entries of several calendars, as [`Calendar::entries`] of one.
pub fn entries<'a>(
    calendars: &[Calendar<'a>],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> impl Iterator<Item = Entry<'a>> + use<'a> {
    let streams = calendars
        .iter()
        .flat_map(|calendar| calendar.streams.iter().map(move |stream| calendar.stream(stream, from, to)))
        .collect();
    in_order(streams).map(|(time, entry): (_, Entry<'a>)| Entry { time, ..entry })
}

/// Who reserves some nodes in `[from, to)` and for how long, the longest first. Time on several nodes
/// adds up.
pub fn claimants<'a>(
    calendars: &[Calendar<'a>],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<(Claimant<'a>, TimeDelta)> {
    let mut held: BTreeMap<Claimant<'a>, TimeDelta> = BTreeMap::new();
    for (time, claimant) in calendars.iter().flat_map(|calendar| calendar.reservations(from, to)) {
        *held.entry(claimant).or_default() += time.end.min(to) - time.start.max(from);
    }
    let mut held: Vec<_> = held.into_iter().collect();
    held.sort_by_key(|(_, time)| Reverse(*time));
    held
}

impl<'a> Entry<'a> {
    /// The time for which it has the node for itself, the guard included. `None` when it may overlap
    /// anything.
    pub fn reservation(&self) -> Option<Occurrence> {
        self.what.reserves().then(|| self.time.lengthened(self.guard))
    }

    /// Whose it is.
    pub fn claimant(&self) -> Claimant<'a> {
        match self.what {
            What::Run { job, .. } => Claimant::Job(job),
            What::Maintenance { .. } => Claimant::Maintenance(self.node),
        }
    }
}

impl What<'_> {
    /// Whether nothing else that reserves the node may be there at the same time.
    pub fn reserves(&self) -> bool {
        match self {
            Self::Run { spec, .. } => spec.exclusive,
            Self::Maintenance { .. } => true,
        }
    }

    fn is_guarded(&self) -> bool {
        matches!(self, Self::Run { spec, .. } if spec.exclusive)
    }
}

impl fmt::Display for Claimant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "`{job}`"),
            Self::Maintenance(node) => write!(f, "the maintenance of `{node}`"),
        }
    }
}

impl Utilisation {
    /// The share, from 0 to 1; of no time, 0.
    pub fn share(self) -> f64 {
        if self.whole.is_zero() {
            return 0.0;
        }
        self.reserved.as_seconds_f64() / self.whole.as_seconds_f64()
    }
}
