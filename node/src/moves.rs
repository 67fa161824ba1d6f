//! One-shot runs that start at another instant than the one that their job's manifest says, since the node's owner wanted
//! its link at that one. The reconciler decided where they go; here they are occurrences as any other.

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Instant, JobName, Occurrence};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::desired::Assignment;

/// A run that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Its job.
    pub job: JobName,
    /// What the manifest says. Where it says something else by now, the run is no more.
    pub at: Instant,
    /// When it starts.
    pub to: Instant,
}

impl TryFrom<v1::Move> for Move {
    type Error = FieldError;

    fn try_from(message: v1::Move) -> Result<Self, FieldError> {
        Ok(Self {
            job: convert::parse("job", &message.job)?,
            at: Instant(convert::instant("at", message.at.as_ref())?),
            to: Instant(convert::instant("to", message.to.as_ref())?),
        })
    }
}

/// The first occurrence of an assignment whose start is at or after `from`, given the runs that were moved.
pub fn next(assignment: &Assignment, moves: &[Move], from: DateTime<Utc>) -> Option<Occurrence> {
    let is_of = |run: &&Move| {
        run.job == assignment.job && assignment.spec.exclusive && assignment.spec.schedule.at == Some(run.at)
    };
    let moved = moves.iter().filter(is_of).map(|run| run.to.0).filter(|to| *to >= from);
    let length = assignment.schedule.length;
    let moved = moved.map(|start| Occurrence { start, end: start + length });
    assignment.schedule.next(from).into_iter().chain(moved).min()
}
