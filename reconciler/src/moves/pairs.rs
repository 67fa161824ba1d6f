//! Runs that need two nodes: where the owner of the server's node wants its link, the whole run makes room.
//!
//! Each agent reports its own part, in whichever order, perhaps days apart: the box of a server may have been out of reach
//! when its owner took the link. What the client's agent knew was that its server was gone. So whichever report comes last
//! is recorded together with what the other one is worth by then.

use almanac_schemas::{NodeName, Phase, Reason, scavenging};
use chrono::{DateTime, TimeDelta, Utc};

use super::made_room;
use crate::run::{RunState, RunStep};

/// A part of a run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its node.
    pub node: NodeName,
    /// Its last step.
    pub end: RunStep,
    /// When its command had ended, or it was clear that it would not begin. What it left is delivered after that.
    pub ended_at: DateTime<Utc>,
}

impl Part {
    /// The part whose steps these are, if it has ended.
    pub fn of(node: NodeName, steps: &[RunStep]) -> Option<Self> {
        let end = steps.iter().find(|step| step.phase.is_terminal())?.clone();
        let ended_at = RunState::of(steps)?.ended_at.unwrap_or(end.at);
        Some(Self { node, end, ended_at })
    }
}

/// For how long a server that is told to stop may go on, with what the clocks of two nodes may differ: its client may fail
/// in that time, since it is not served any more.
const STOPPING: TimeDelta = TimeDelta::seconds(15);

/// Whether a client may have ended like this because its server was gone.
pub fn may_be_bereft(end: &RunStep) -> bool {
    matches!(
        (end.phase, end.reason),
        (Phase::Failed | Phase::Skipped, Some(Reason::ServerUnavailable))
            | (Phase::Failed, Some(Reason::ExitCode))
    )
}

/// What is recorded in place of a client's end, where that is because its server made room. `None` where it stays as it is: a
/// client that ended well, or was cancelled, did so all the same.
pub fn bereft(client: &Part, server: &Part) -> Option<RunStep> {
    let end = &client.end;
    if !made_room(&server.end) || !may_be_bereft(end) {
        return None;
    }
    // It breaks off when its server does, and before its agent knows why. What failed earlier failed by itself.
    let failed_before = client.ended_at + STOPPING < server.ended_at;
    if end.reason == Some(Reason::ExitCode) && failed_before {
        return None;
    }
    let phase = if end.phase == Phase::Skipped { Phase::Skipped } else { Phase::Aborted };
    let message = scavenging::of_server(&server.node, &server.end.message);
    Some(RunStep { phase, reason: Some(Reason::Scavenger), message, ..end.clone() })
}

/// What is recorded in place of the end of a server's part that made room, where what became of the run is recorded with its
/// client's: both are one run.
pub fn follow(server: &RunStep, client: &RunStep) -> Option<RunStep> {
    let settled = matches!(
        (client.phase, client.reason),
        (Phase::Rescheduled, Some(Reason::Scavenger)) | (Phase::Aborted, Some(Reason::NoSlot))
    );
    if !made_room(server) || !settled {
        return None;
    }
    // The client's message says at its end what became of the run.
    let what = client.message.rsplit("; ").next().unwrap_or_default();
    let message = match server.message.as_str() {
        "" => what.to_owned(),
        message => format!("{message}; {what}"),
    };
    Some(RunStep { phase: client.phase, reason: client.reason, message, ..server.clone() })
}

#[cfg(test)]
mod tests;
