//! Runs that were moved have their nodes for themselves, too: what a commit declares must not take that away.

use std::collections::BTreeMap;

use almanac_schemas::{Instant, RunRole, Schedule};
use chrono::TimeDelta;

use super::{Calendar, Exclusive, Party};
use crate::{
    Moved, Rule,
    conflict::{Claim, Clash, Holder},
    rules::{Context, Draft, Place},
};

/// A moved run on one of its nodes.
struct Held<'c> {
    moved: &'c Moved,
    /// Its job, by its position in the order of documents.
    job: usize,
    claim: Claim,
}

/// Compares the runs that were moved with everything else on their nodes, and with each other.
pub(super) fn check(
    context: &Context<'_>,
    jobs: &[Exclusive<'_>],
    calendars: &BTreeMap<&str, Calendar<'_>>,
    drafts: &mut Vec<Draft>,
) {
    let mut nodes: BTreeMap<&str, Vec<Held<'_>>> = BTreeMap::new();
    for moved in context.moved {
        let Some(job) = jobs.iter().position(|exclusive| exclusive.job.metadata.name == moved.job) else {
            continue;
        };
        if !moved.is_of(&jobs[job].job.spec) {
            continue;
        }
        let Some(schedule) = moved.schedule(&jobs[job].job.spec) else { continue };
        // On a node that its job does not need any more, it is no more either.
        let targets = context.targets(jobs[job].job);
        if !targets.iter().any(|target| target.role == RunRole::Client && target.name == moved.node.as_str())
        {
            continue;
        }
        for (node, _) in moved.places(&jobs[job].job.spec) {
            let Some(calendar) = calendars.get(node.as_str()) else { continue };
            let claim = Claim::new(&schedule, calendar.guard, Holder::Job, context.now, schedule.end);
            nodes.entry(calendar.name).or_default().push(Held { moved, job, claim });
        }
    }
    for (node, held) in &nodes {
        let calendar = &calendars[node];
        for (index, run) in held.iter().enumerate() {
            drafts.extend(with_declared(context, jobs, calendar, run));
            for other in &held[index + 1..] {
                drafts.extend(run.claim.meets(&other.claim).map(|_| between_moved(jobs, node, run, other)));
            }
        }
    }
}

/// What a commit declares on a node at the time of a moved run.
fn with_declared(
    context: &Context<'_>,
    jobs: &[Exclusive<'_>],
    calendar: &Calendar<'_>,
    run: &Held<'_>,
) -> Vec<Draft> {
    let from = context.now;
    let job = |schedule: &Schedule| Claim::new(schedule, calendar.guard, Holder::Job, from, schedule.end);
    let until = run.claim.end().unwrap_or(from);
    let window = |window: &Schedule| Claim::new(window, TimeDelta::zero(), Holder::Maintenance, from, until);
    let claims = calendar.jobs.iter().map(|index| job(&jobs[*index].schedule));
    let claims = claims.chain(calendar.windows.iter().map(window));
    let meet = |(index, claim): (usize, Claim)| {
        let (first_a, first_b, count) = run.claim.meets(&claim)?;
        Some(drafted(context, jobs, calendar, run, &Clash { a: 0, b: index, first_a, first_b, count }))
    };
    claims.enumerate().filter_map(meet).flatten().collect()
}

fn drafted(
    context: &Context<'_>,
    jobs: &[Exclusive<'_>],
    calendar: &Calendar<'_>,
    run: &Held<'_>,
    clash: &Clash,
) -> Option<Draft> {
    let node = calendar.name;
    let at = Instant(clash.first_instant());
    let (what, place) = match calendar.party(clash.b) {
        Party::Job(other) => (
            format!("`{}` reserves node `{node}` at {at}", jobs[other].job.metadata.name),
            jobs[other].timing(),
        ),
        Party::Maintenance(_, index) => {
            let declared = context.nodes.get(node)?;
            let place = declared.place.key("spec").key("maintenance").index(index).key("cron");
            (format!("node `{node}` has maintenance at {at}"), place)
        }
    };
    Some(finding(jobs, run, &what, place))
}

fn between_moved(jobs: &[Exclusive<'_>], node: &str, run: &Held<'_>, other: &Held<'_>) -> Draft {
    let Moved { job, at, to, .. } = other.moved;
    let what = format!(
        "the run of `{job}` that was moved from {} to {} needs node `{node}` at the same time",
        Instant(*at),
        Instant(*to),
    );
    finding(jobs, run, &what, jobs[other.job].place.key("spec").key("schedule"))
}

fn finding(jobs: &[Exclusive<'_>], run: &Held<'_>, what: &str, place: Place) -> Draft {
    let Moved { job, at, to, .. } = run.moved;
    let (at, to) = (Instant(*at), Instant(*to));
    let message = format!("{what}, which the run of `{job}` has that was moved from {at} to {to}");
    Draft::new(Rule::ScheduleConflict, place, message)
        .related(format!("`{job}` was to run at {at}"), jobs[run.job].timing())
        .help(format!(
            "leave that time free until the run is over, or give `{job}` another `at`: then it is not moved any more"
        ))
}
