//! What becomes of a one-shot run that had to make room for its node's owner: it moves to the nearest time that is free on
//! all of its nodes, or there is none.
//!
//! The agent reports that the run was aborted or skipped because of the scavenger, and that is all it can know. What becomes
//! of it is decided here, once: in the transaction that records the report, on what is in force then, however late it comes.
//! A run with a server needs two nodes, and makes room on either: [`pairs`] says what its two reports come to.

use almanac_schemas::{Instant, NodeName, Phase, Reason, RunRole};
use almanac_validate::{
    Moved,
    calendar::{Calendar, nearest},
};
use chrono::{DateTime, Utc};

use crate::{
    applied::Applied,
    run::{RunEvent, RunStep},
};

pub mod pairs;

/// What becomes of a run that had to make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It moves.
    Moves(Moved),
    /// No time is free from then on until then.
    NoSlot {
        /// From when on was looked.
        from: DateTime<Utc>,
        /// Until when.
        until: DateTime<Utc>,
    },
}

/// How a run is recorded that had to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// [`Phase::Rescheduled`] or [`Phase::Aborted`].
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
}

/// Whether a report may be about a run that has to move. Few are, and what is decided of them holds up commits.
pub fn concerns(applied: &Applied, event: &RunEvent) -> bool {
    let has_server = || applied.testbed.jobs.get(&event.job).is_some_and(|spec| spec.server.is_some());
    made_room(&event.step)
        || (event.role == RunRole::Client && pairs::may_be_bereft(&event.step) && has_server())
}

/// Whether this is how a part of a run ends that made room for its node's owner, as an agent says it.
pub fn made_room(step: &RunStep) -> bool {
    step.reason == Some(Reason::Scavenger) && matches!(step.phase, Phase::Aborted | Phase::Skipped)
}

/// Decides about a run, given the end of its client and the runs that were moved before, also those whose new time is over.
/// `None` where it stays as it was reported: it recurs, or it is not declared so any more.
pub fn decide(
    applied: &Applied,
    moved: &[Moved],
    node: &NodeName,
    event: &RunEvent,
    now: DateTime<Utc>,
) -> Option<Decision> {
    if event.role != RunRole::Client || !made_room(&event.step) {
        return None;
    }
    let testbed = &applied.testbed;
    let (job, spec) = testbed.jobs.get_key_value(&event.job)?;
    let at = spec.schedule.at?.0;
    if !spec.exclusive || !testbed.clients(spec).any(|client| client == node) {
        return None;
    }
    let is_this = |run: &Moved| run.job == *job && run.node == *node && run.to == event.scheduled_at;
    if event.scheduled_at != at && !moved.iter().any(|run| is_this(run) && run.at == at) {
        return None;
    }
    let settings = &testbed.config.scavenger;
    let from = now + settings.delay.to_delta();
    let until = spec.schedule.end.map_or_else(|| at + settings.within.to_delta(), |end| end.0);
    // What it has at this time is free for itself: it is over.
    let others: Vec<&Moved> = moved.iter().filter(|run| !is_this(run)).collect();
    let there = Moved { job: job.clone(), node: node.clone(), at, to: event.scheduled_at };
    let calendar = |(node, _)| {
        Calendar::new(testbed, node).map(|calendar| calendar.with_moved(testbed, others.iter().copied()))
    };
    // Of a testbed in force, every node is declared.
    let calendars: Vec<Calendar<'_>> = there.places(spec).map(calendar).collect::<Result<_, _>>().ok()?;
    let slot = nearest(&calendars, spec.schedule.length.to_delta(), from, until);
    Some(match slot {
        Some(slot) => Decision::Moves(Moved { to: slot.start, ..there }),
        None => Decision::NoSlot { from, until },
    })
}

impl Decision {
    /// How the run is recorded.
    pub const fn end(&self) -> End {
        match self {
            Self::Moves(_) => End { phase: Phase::Rescheduled, reason: Reason::Scavenger },
            Self::NoSlot { .. } => End { phase: Phase::Aborted, reason: Reason::NoSlot },
        }
    }

    /// What is recorded in place of what was reported.
    pub fn step(&self, reported: &RunStep) -> RunStep {
        let End { phase, reason } = self.end();
        let what = match self {
            Self::Moves(Moved { to, .. }) => format!("moved to {}", Instant(*to)),
            Self::NoSlot { from, until } if from >= until => {
                format!("it would have had to start before {}, and it is too late for that", Instant(*until))
            }
            Self::NoSlot { from, until } => {
                format!("no time is free for it from {} to {}", Instant(*from), Instant(*until))
            }
        };
        let message = match reported.message.as_str() {
            "" => what,
            message => format!("{message}; {what}"),
        };
        RunStep { phase, reason: Some(reason), message, ..reported.clone() }
    }
}

#[cfg(test)]
mod tests;
