//! `port-conflict`: one port of a node is for one container at a time.
//!
//! Exclusive jobs keep clear of each other anyway, which `schedule-conflict` sees to. Others may overlap, but for their
//! ports: on each node, those that want a port are compared with each other by the engine that compares
//! reservations.

mod holders;
mod quiet;
mod wording;

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::{Job, Schedule, container::Port};
use chrono::TimeDelta;
use rayon::prelude::*;

use super::{Context, Draft, Place, schedule::resolved, single::Sound};
use crate::conflict::{Clash, clashes_between};
use holders::{Holder, Node, Wanted};
pub(super) use quiet::Quiet;

/// How many conflicts of a job with jobs that are declared before it are shown one by one.
const MAX_CONFLICTS: usize = 8;

/// A job whose containers want ports.
struct Publisher<'a> {
    job: &'a Job,
    place: &'a Place,
    schedule: Arc<Schedule>,
}

/// Two jobs that want a port at the same time, or one whose own runs do, on all nodes where it is so.
struct Conflict<'c> {
    first: Clash,
    guard: TimeDelta,
    /// On the node of the first clash.
    holders: (&'c Holder<'c>, &'c Holder<'c>),
    nodes: Vec<&'c str>,
    ports: Vec<Port>,
    count: u64,
}

pub(super) fn check(context: &Context<'_>, sound: &Sound, quiet: &mut Quiet, drafts: &mut Vec<Draft>) {
    let wanting = || context.whole_jobs().filter(|(job, _)| holders::wants_ports(&job.spec));
    // Exclusive jobs alone are in nobody's way that `schedule-conflict` does not see.
    if wanting().all(|(job, _)| job.spec.exclusive) {
        return;
    }
    let schedule = |job: &Job| {
        let known = sound.schedule(job, context.now).map(Arc::clone);
        known.or_else(|| resolved(context, job).map(Arc::new))
    };
    let mut jobs: Vec<Publisher<'_>> = wanting()
        .filter_map(|(job, place)| Some(Publisher { job, place, schedule: schedule(job)? }))
        .collect();
    // Of two in each other's way, the later one is to move: one that a change brings, if it is a change.
    jobs.sort_by_key(|job| (!context.stands(job.job), job.place.file, job.place.spot.document));
    let nodes = holders::nodes(context, &jobs);

    let found: Vec<_> = nodes
        .par_iter()
        .filter(|(_, node)| !quiet.holds(node, &jobs, context.now))
        .map(|(_, node)| {
            let claims = node.claims(&jobs, context.now);
            (node, clashes_between(&claims, |a, b| node.share(&jobs, a, b)))
        })
        .collect();
    quiet.keep(&nodes, &jobs, context.now, &found);
    let mut conflicts: BTreeMap<(usize, usize), Conflict<'_>> = BTreeMap::new();
    for (node, clashes) in &found {
        for clash in clashes {
            // Holders are in the order of jobs, so that the first of a pair is the earlier one.
            let holders = (&node.holders[clash.a], &node.holders[clash.b]);
            let conflict = conflicts.entry((holders.0.job, holders.1.job)).or_insert_with(|| Conflict {
                first: *clash,
                guard: node.guard,
                holders,
                nodes: Vec::new(),
                ports: Vec::new(),
                count: 0,
            });
            conflict.nodes.push(node.name);
            conflict.ports.extend(holders.0.shared(holders.1));
            conflict.count += clash.count;
            if clash.first_instant() < conflict.first.first_instant() {
                (conflict.first, conflict.guard, conflict.holders) = (*clash, node.guard, holders);
            }
        }
    }

    if conflicts.is_empty() {
        return;
    }
    let wanted = Wanted::of(&nodes);
    // With hundreds of jobs at one port, each with each would be a flood in which nobody finds anything.
    let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
    for ((a, b), conflict) in &mut conflicts {
        conflict.ports.sort_unstable();
        conflict.ports.dedup();
        if a == b {
            drafts.push(wording::own_runs(&jobs[*a], conflict));
            continue;
        }
        let shown = shown.entry(*b).or_default();
        *shown += 1;
        if *shown <= MAX_CONFLICTS {
            let is_theirs = |holder: &Holder<'_>| holder.job == *a || holder.job == *b;
            let theirs = nodes.values().filter(|node| node.holders.iter().any(is_theirs));
            let free = wanted.free_after(conflict.ports[0], theirs.map(|node| node.name));
            drafts.push(wording::between_jobs(&jobs[*a], &jobs[*b], conflict, free));
        }
    }
    let cut = shown.into_iter().filter(|(_, count)| *count > MAX_CONFLICTS);
    drafts.extend(cut.map(|(job, count)| wording::further(&jobs[job], count - MAX_CONFLICTS)));
}
