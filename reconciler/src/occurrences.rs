//! What is to run when: the occurrences of many jobs in one order of time, no more of them computed
//! than are asked for.

use std::rc::Rc;

use almanac_schemas::{JobName, JobSpec, NodeName, Occurrence, RunRole, Schedule, UserName};
use almanac_validate::{Moved, calendar::in_order};
use chrono::{DateTime, Utc};

use crate::applied::Applied;

/// Which occurrences are wanted. What is absent matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// On this node.
    pub node: Option<NodeName>,
    /// Of this job.
    pub job: Option<JobName>,
    /// Of this user's jobs.
    pub owner: Option<UserName>,
}

/// An interval on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From when until when.
    pub time: Occurrence,
    /// The node.
    pub node: &'a NodeName,
    /// What runs; nothing during maintenance.
    pub run: Option<Part<'a>>,
    /// The place of a maintenance window among the node's; 0 for a run.
    pub window: usize,
}

/// A part of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The job.
    pub job: &'a JobName,
    /// Whose it is.
    pub owner: &'a UserName,
    /// Which of its containers.
    pub role: RunRole,
    /// Whether the node is reserved for it.
    pub exclusive: bool,
    /// The instant that the manifest says, of a run that was moved.
    pub moved_from: Option<DateTime<Utc>>,
}

/// The place of an entry in the order of all: by start, then windows before jobs, then names. No two
/// entries share one, or one of them would be lost where a page ends between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When it starts.
    pub start: DateTime<Utc>,
    /// The job; empty for maintenance.
    pub job: String,
    /// The node.
    pub node: String,
    /// The place of a maintenance window among the node's; 0 for a run.
    pub window: usize,
    /// The role, as text; empty for maintenance.
    pub role: String,
}

impl Entry<'_> {
    /// Its place in the order of all.
    pub fn key(&self) -> Key {
        Key {
            start: self.time.start,
            job: self.run.map(|part| part.job.to_string()).unwrap_or_default(),
            node: self.node.to_string(),
            window: self.window,
            role: self.run.map(|part| part.role.to_string()).unwrap_or_default(),
        }
    }
}

/// Something that recurs, and what an occurrence of it occupies.
struct Stream<'a> {
    schedule: Schedule,
    entries: Vec<Place<'a>>,
}

/// A node, and what an occurrence occupies it with: a part of a job, or one of the node's windows.
type Place<'a> = (&'a NodeName, Option<Part<'a>>, usize);

/// The entries whose start lies in `[from, to)`, in the order of their keys, given the runs that take place at another
/// time than declared.
pub fn entries<'a>(
    applied: &'a Applied,
    moved: &[Moved],
    filter: &Filter,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> impl Iterator<Item = Entry<'a>> {
    // Maintenance comes first, then jobs by name.
    let streams = streams(applied, moved, filter).into_iter();
    let streams = streams.map(|stream| (stream.schedule.occurrences(from, to), Rc::from(stream.entries)));
    in_order(streams.collect()).flat_map(|(time, entries): (_, Rc<[Place<'a>]>)| {
        (0..entries.len()).map(move |index| {
            let (node, run, window) = entries[index];
            Entry { time, node, run, window }
        })
    })
}

fn streams<'a>(applied: &'a Applied, moved: &[Moved], filter: &Filter) -> Vec<Stream<'a>> {
    let mut streams = Vec::new();
    let on_node = |node: &NodeName| filter.node.as_ref().is_none_or(|wanted| wanted == node);
    if filter.job.is_none() && filter.owner.is_none() {
        for (name, node) in applied.testbed.nodes.iter().filter(|(name, _)| on_node(name)) {
            let windows = node.spec.maintenance.iter().enumerate();
            streams.extend(windows.map(|(index, window)| Stream {
                schedule: window.schedule(),
                entries: vec![(name, None, index)],
            }));
        }
    }
    for (job, spec) in &applied.testbed.jobs {
        let wanted = filter.job.as_ref().is_none_or(|wanted| wanted == job)
            && filter.owner.as_ref().is_none_or(|wanted| *wanted == spec.owner);
        let Ok(schedule) = spec.schedule.resolve() else { continue };
        let places = applied.placements.get(job).into_iter().flatten();
        let mut entries: Vec<_> = places
            .filter(|(node, _)| wanted && on_node(node))
            .map(|(node, role)| (node, Some(part(job, spec, *role, None)), 0))
            .collect();
        entries.sort_by_key(|(node, part, _)| (*node, part.map(|part| part.role.as_str())));
        if !entries.is_empty() {
            streams.push(Stream { schedule, entries });
        }
        // After the job itself, and in the order of time: no two of them start at the same time on the same node.
        for run in moved.iter().filter(|run| wanted && run.job == *job && run.stands(&applied.testbed)) {
            let Some(schedule) = run.schedule(spec) else { continue };
            let places = applied.placements.get(job).into_iter().flatten();
            let places = places.filter(|place| run.places(spec).any(|there| there == (&place.0, place.1)));
            let mut entries: Vec<_> = places
                .filter(|(node, _)| on_node(node))
                .map(|(node, role)| (node, Some(part(job, spec, *role, Some(run.at))), 0))
                .collect();
            entries.sort_by_key(|(node, part, _)| (*node, part.map(|part| part.role.as_str())));
            if !entries.is_empty() {
                streams.push(Stream { schedule, entries });
            }
        }
    }
    streams
}

fn part<'a>(
    job: &'a JobName,
    spec: &'a JobSpec,
    role: RunRole,
    moved_from: Option<DateTime<Utc>>,
) -> Part<'a> {
    Part { job, owner: &spec.owner, role, exclusive: spec.exclusive, moved_from }
}
