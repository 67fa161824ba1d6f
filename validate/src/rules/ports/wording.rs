//! What is said of those that want one port at the same time.

use almanac_schemas::{Instant, Occurrence, container::Port};
use chrono::TimeDelta;

use super::{Conflict, Publisher};
use crate::{
    Rule,
    rules::Draft,
    words::{in_words, listed, plural},
};

pub(super) fn between_jobs(
    a: &Publisher<'_>,
    b: &Publisher<'_>,
    conflict: &Conflict<'_>,
    free: Option<Port>,
) -> Draft {
    let (one, other) = conflict.holders;
    let port = one.shared(other).next().unwrap_or(conflict.ports[0]);
    let message = format!(
        "`{}` and `{}` both want {} of {} {}",
        b.job.metadata.name,
        a.job.metadata.name,
        ports_in_words(&conflict.ports),
        nodes_in_words(&conflict.nodes),
        how_often(conflict),
    );
    let place = other.place(b, port);
    let another = match free {
        Some(free) => format!("give one of them another port, such as `{free}`"),
        None => "give one of them another port".to_owned(),
    };
    Draft::new(Rule::PortConflict, place.clone(), message)
        .related(b.holds(conflict.first.first_b), place)
        .related(a.holds(conflict.first.first_a), one.place(a, port))
        .help(format!("{another}, let it start at another time, or shorten its `length`"))
}

/// Of a job whose next run starts before the one before it is over.
pub(super) fn own_runs(publisher: &Publisher<'_>, conflict: &Conflict<'_>) -> Draft {
    let (first, second) = (conflict.first.first_a, conflict.first.first_b);
    let gap = (second.start - first.start).abs();
    let length = publisher.schedule.length;
    let guard = match conflict.guard.is_zero() {
        true => String::new(),
        false => format!(" ({} and a guard of {})", in_words(length), in_words(conflict.guard)),
    };
    let message = format!(
        "each run of `{}` has {} of {} for {}{guard}, but the next one starts after {}",
        publisher.job.metadata.name,
        ports_in_words(&conflict.ports),
        nodes_in_words(&conflict.nodes),
        in_words(length + conflict.guard),
        in_words(gap),
    );
    let room = gap - conflict.guard;
    let help = match room > TimeDelta::zero() {
        true => format!("shorten `length` to {} at most, or let it run less often", in_words(room)),
        false => "let it run less often".to_owned(),
    };
    let schedule = publisher.place.key("spec").key("schedule");
    let starts = format!("runs start at {} and at {}", Instant(first.start), Instant(second.start));
    let (holder, _) = conflict.holders;
    Draft::new(Rule::PortConflict, holder.place(publisher, conflict.ports[0]), message)
        .related(starts, schedule.key("cron"))
        .help(help)
}

/// What is said of conflicts that are not shown one by one.
pub(super) fn further(publisher: &Publisher<'_>, count: usize) -> Draft {
    let name = &publisher.job.metadata.name;
    let message = match count {
        1 => format!("`{name}` wants a port of one more job, which is not shown"),
        count => format!("`{name}` wants ports of {count} more jobs, which are not shown"),
    };
    Draft::new(Rule::PortConflict, publisher.place.name(), message)
        .help("choose other ports or another time for it, and check again")
}

impl Publisher<'_> {
    fn holds(&self, time: Occurrence) -> String {
        let (start, end) = (Instant(time.start), Instant(time.end));
        format!("`{}` has it from {start} to {end}", self.job.metadata.name)
    }
}

fn how_often(conflict: &Conflict<'_>) -> String {
    let first = Instant(conflict.first.first_instant());
    match conflict.count {
        1 => format!("at {first}"),
        count => format!("{count} times, first at {first}"),
    }
}

fn ports_in_words(ports: &[Port]) -> String {
    format!("{} {}", plural(ports.len(), "port"), listed(ports.iter().map(ToString::to_string)))
}

fn nodes_in_words(nodes: &[&str]) -> String {
    format!("{} {}", plural(nodes.len(), "node"), listed(nodes.iter().copied()))
}
