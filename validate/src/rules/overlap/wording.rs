//! What is said of jobs and maintenance in each other's way.

use almanac_schemas::Instant;
use chrono::TimeDelta;

use super::{Conflict, Exclusive};
use crate::{
    Rule,
    rules::{Context, Draft},
    words::{in_words, listed},
};

pub(super) fn self_overlap(exclusive: &Exclusive<'_>, conflict: &Conflict<'_>) -> Draft {
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

pub(super) fn between_jobs(a: &Exclusive<'_>, b: &Exclusive<'_>, conflict: &Conflict<'_>) -> Draft {
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

pub(super) fn with_maintenance(
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

/// What is said of conflicts that are not shown one by one.
pub(super) fn further(exclusive: &Exclusive<'_>, count: usize) -> Draft {
    let name = &exclusive.job.metadata.name;
    let message = match count {
        1 => format!("`{name}` is in the way of one more job, which is not shown"),
        count => format!("`{name}` is in the way of {count} more jobs, which are not shown"),
    };
    Draft::new(Rule::ScheduleConflict, exclusive.timing(), message)
        .help("choose another time for it, and check again")
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
