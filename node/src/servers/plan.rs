//! Decides what becomes of the servers that are wanted here, and which are made ready ahead: this node knows the
//! schedules of the jobs that it has servers for.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::{
    Instant, JobName, NodeName, Occurrence, Phase, Reason, RunId, RunRole,
    container::{Network, Port},
    schedule::OnMissed,
};

use crate::{
    desired::Assignment,
    run::{Order, RunKey},
    scheduler::{Decision, Omission, STEP, Situation, Verdict, allowed, lead},
};

use super::pairs::{Pairs, Task};

/// How many occurrences of a job are made ready at once, at most. Of those that are due soon, that is the next, and one
/// before it whose client may still come.
const AHEAD: usize = 2;

/// What runs here, as far as servers have to know.
#[derive(Debug, Clone, Default)]
pub struct Going {
    runs: BTreeSet<RunKey>,
    ports: Vec<Taken>,
}

/// A port of this host that somebody has.
#[derive(Debug, Clone)]
struct Taken {
    port: Port,
    job: JobName,
    run: RunKey,
}

/// What is to be done about servers.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// What becomes of those that are wanted.
    pub decisions: Vec<Decision<'a>>,
    /// Those that are wanted soon: they can be made ready.
    pub upcoming: Vec<Decision<'a>>,
    /// When something else can be made ready, or is not wanted any more.
    pub wake_at: Option<DateTime<Utc>>,
}

impl Going {
    /// What goes on by these orders.
    pub fn of<'a>(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut going = Self::default();
        for order in orders {
            let run = order.key();
            let taken = |port| Taken { port, job: order.job.clone(), run };
            going.ports.extend(ports(&order.spec, order.role).iter().copied().map(taken));
            going.runs.insert(run);
        }
        going
    }

    /// Whether a run goes on.
    pub fn contains(&self, run: &RunKey) -> bool {
        self.runs.contains(run)
    }

    /// Who else has a port that a run needs.
    fn holder(&self, assignment: &Assignment, run: &RunKey) -> Option<&Taken> {
        let needed = ports(&assignment.spec, assignment.role);
        self.ports.iter().find(|taken| taken.run != *run && needed.contains(&taken.port))
    }
}

/// The ports of the host that a part of a job takes, as far as it declares them.
fn ports(spec: &almanac_schemas::JobSpec, role: RunRole) -> &[Port] {
    let container = crate::container::part(spec, role);
    if container.network == Network::None { &[] } else { &container.ports }
}

/// Decides on the servers of this node.
pub fn plan<'a>(situation: &Situation<'a>, pairs: &Pairs, going: &Going) -> Plan<'a> {
    let mut plan = Plan::default();
    for task in pairs.wanted().filter(|task| !going.contains(&key(task.run))) {
        plan.decisions.extend(decide(situation, task, going));
    }
    let lead = lead(situation);
    let servers = situation.desired.assignments.iter().filter(|part| part.role == RunRole::Server);
    for assignment in servers {
        let (wait, now) = (patience(assignment), situation.now);
        let mut from = assignment.since.max(now - wait);
        for _ in 0..AHEAD {
            let Some(next) = assignment.schedule.next(from) else { break };
            if next.start >= situation.desired.valid_until {
                break;
            }
            let ready_at = next.start - lead;
            let change = if ready_at > now { ready_at } else { next.start + wait };
            plan.wake_at = Some(plan.wake_at.map_or(change, |earlier| earlier.min(change)));
            if ready_at > now {
                break;
            }
            for client in &assignment.clients {
                let is_decided = plan.decisions.iter().any(|decision| {
                    decision.client.as_ref() == Some(client)
                        && (&decision.assignment.job, decision.scheduled_at) == (&assignment.job, next.start)
                });
                if !is_decided {
                    plan.upcoming.extend(prepare(situation, assignment, next, client, pairs, going));
                }
            }
            from = next.start + STEP;
        }
    }
    plan
}

/// For how long after its instant the client of an occurrence may still come.
fn patience(assignment: &Assignment) -> TimeDelta {
    let schedule = &assignment.spec.schedule;
    let length = schedule.length.to_delta();
    let wait = assignment.spec.trigger.as_ref().map_or(TimeDelta::zero(), |trigger| trigger.wait.to_delta());
    match schedule.on_missed {
        OnMissed::Latest => length,
        OnMissed::Skip => {
            (schedule.jitter.to_delta() + schedule.start_deadline.to_delta().max(wait)).min(length)
        }
    }
}

/// The server of a run that is due soon, if it would start as things are.
fn prepare<'a>(
    situation: &Situation<'_>,
    assignment: &'a Assignment,
    time: Occurrence,
    client: &NodeName,
    pairs: &Pairs,
    going: &Going,
) -> Option<Decision<'a>> {
    let run = RunId::new(&assignment.job, client, time.start);
    // A container that waits has its ports already, so it waits until nobody else has them.
    let is_held_up = going.contains(&key(run)) || going.holder(assignment, &key(run)).is_some();
    if is_held_up || pairs.is_settled(run) {
        return None;
    }
    let limits = allowed(situation, assignment, time).ok()?;
    Some(Decision {
        assignment,
        scheduled_at: time.start,
        client: Some(client.clone()),
        verdict: Verdict::Start { by: time.end, limits },
    })
}

/// What becomes of a server that is wanted now. Of a job that this node does not know nothing is decided: the commit that
/// declares it may be on its way here.
fn decide<'a>(situation: &Situation<'a>, task: &Task, going: &Going) -> Option<Decision<'a>> {
    let mut assignments = situation.desired.assignments.iter();
    let assignment = assignments.find(|part| part.job == task.job && part.role == RunRole::Server)?;
    let time = Occurrence {
        start: task.scheduled_at,
        end: task.scheduled_at + assignment.spec.schedule.length.to_delta(),
    };
    if situation.now >= time.end {
        return None;
    }
    let verdict = match judge(situation, assignment, task, time, going) {
        // Its client decides until when it may start: it has the server's agent stop when it gives up.
        Ok(limits) => Verdict::Start { by: time.end, limits },
        Err(omission) => Verdict::Omit(omission),
    };
    let client = Some(task.client.clone());
    Some(Decision { assignment, scheduled_at: task.scheduled_at, client, verdict })
}

fn judge(
    situation: &Situation<'_>,
    assignment: &Assignment,
    task: &Task,
    time: Occurrence,
    going: &Going,
) -> Result<almanac_schemas::node::Limits, Omission> {
    let limits = allowed(situation, assignment, time)?;
    if let Some(Taken { port, job, run }) = going.holder(assignment, &key(task.run)) {
        let whose = if run.role == RunRole::Server { "the server of " } else { "" };
        let message = format!("port {port} of `{}` is held by {whose}`{job}`", situation.node);
        return Err(Omission { phase: Phase::Failed, reason: Reason::ServerUnavailable, message });
    }
    // The servers of one job's clients have the node at once: it is the job that has it for itself.
    let is_other = |time_of: &Occurrence, job: &JobName| *job != task.job || *time_of != time;
    let mut reserved = situation.reserved.iter();
    let other = reserved.find(|other| other.time.intersects(&time) && is_other(&other.time, &other.job));
    if let Some(other) = other.filter(|_| assignment.spec.exclusive) {
        let (job, until) = (&other.job, Instant(other.time.end));
        let message = format!("a run of `{job}` had the node, which is its until {until}");
        return Err(Omission { phase: Phase::Missed, reason: Reason::Busy, message });
    }
    Ok(limits)
}

const fn key(id: RunId) -> RunKey {
    RunKey { id, role: RunRole::Server }
}

#[cfg(test)]
mod tests;
