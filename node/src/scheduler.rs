//! Decides what becomes of each occurrence: it is started, or recorded as not having run, once.
//!
//! Everything up to the last accounted instant of a job is settled. A decision settles the next
//! one; the journal stores both in one transaction, so that whatever restarts in between, each
//! occurrence is settled exactly once. Decisions come in the order of their instants per job.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::{
    Instant, JobName, NodeName, Occurrence, Phase, Reason, RunId, RunRole, node::Limits, schedule::OnMissed,
    trigger::Condition,
};

use crate::{
    desired::{Assignment, Desired},
    disk::Shortage,
    instructions::Said,
    moves,
    policy::Policy,
};

/// The most decisions of one plan. What is left is decided right after they are journaled; without
/// a bound, a long outage of a frequent job would be one transaction of any size.
pub const MAX_DECISIONS: usize = 500;

/// The last settled instant of each job.
pub type Accounts = BTreeMap<JobName, DateTime<Utc>>;

/// What a plan is made of.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// This node.
    pub node: &'a NodeName,
    /// What should run.
    pub desired: &'a Desired,
    /// What is settled.
    pub accounts: &'a Accounts,
    /// What the host allows.
    pub policy: &'a Policy,
    /// What people said.
    pub said: &'a Said,
    /// Since when this agent has been there to start runs: since its own start, or since it got
    /// the first valid snapshot after it.
    pub operating_since: DateTime<Utc>,
    /// The time of exclusive runs that go on here.
    pub reserved: &'a [Reservation],
    /// When the journal was lost, if it ever was: of occurrences up to then that are not settled nobody knows what became.
    pub lost_at: Option<DateTime<Utc>>,
    /// A disk that has too little free for new runs, if there is one.
    pub short: Option<&'a Shortage>,
    /// The current instant.
    pub now: DateTime<Utc>,
}

impl Situation<'_> {
    /// The first occurrence of an assignment whose start is at or after `from`, also of a run that was moved.
    pub(crate) fn next(&self, assignment: &Assignment, from: DateTime<Utc>) -> Option<Occurrence> {
        moves::next(assignment, &self.said.there.moves, from)
    }
}

/// The time that an exclusive run has on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its job.
    pub job: JobName,
    /// From its instant to its end.
    pub time: Occurrence,
}

/// What to do now, and when to look again.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// What becomes of occurrences that are due.
    pub decisions: Vec<Decision<'a>>,
    /// The next occurrences that are due soon and would run as things are: they can be made ready.
    pub upcoming: Vec<Decision<'a>>,
    /// The next instant at which something is due; `now` when there is more to decide already.
    pub wake_at: Option<DateTime<Utc>>,
}

/// What becomes of one occurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// Whose occurrence it is.
    pub assignment: &'a Assignment,
    /// Its instant.
    pub scheduled_at: DateTime<Utc>,
    /// Of the part of a server: the node of its client.
    pub client: Option<NodeName>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It runs, if its container can start by then.
    Start {
        /// The last instant at which it may start.
        by: DateTime<Utc>,
        /// The most that it may take of the node.
        limits: Limits,
    },
    /// It does not run, and that is recorded.
    Omit(Omission),
}

/// Why an occurrence does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// [`Phase::Skipped`] or [`Phase::Missed`].
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// Decides what is due.
pub fn plan<'a>(situation: &Situation<'a>) -> Plan<'a> {
    let mut plan = Plan { decisions: Vec::new(), upcoming: Vec::new(), wake_at: None };
    let (now, lead) = (situation.now, lead(situation));
    let assignments = situation.desired.assignments.iter();
    // The part of a server runs on its client's word: `crate::servers` decides on it.
    for assignment in assignments.filter(|assignment| assignment.role == RunRole::Client) {
        let mut from = situation
            .accounts
            .get(&assignment.job)
            .map_or(assignment.since, |settled| assignment.since.max(*settled + STEP));
        while let Some(next) = situation.next(assignment, from) {
            if next.start >= situation.desired.valid_until {
                // Held back, not settled: a newer snapshot may still say what becomes of it.
                break;
            }
            let decision = || Decision {
                assignment,
                scheduled_at: next.start,
                client: None,
                verdict: judge(situation, assignment, next.start, next.end),
            };
            if next.start - SETTLED_AHEAD > now || plan.decisions.len() == MAX_DECISIONS {
                let soon = next.start - lead <= now;
                let wake = (next.start - if soon { SETTLED_AHEAD } else { lead }).max(now);
                plan.wake_at = Some(plan.wake_at.map_or(wake, |earlier| earlier.min(wake)));
                plan.upcoming.extend(
                    soon.then(decision).filter(|decision| matches!(decision.verdict, Verdict::Start { .. })),
                );
                break;
            }
            plan.decisions.push(decision());
            from = next.start + STEP;
        }
    }
    keep_apart(&mut plan.decisions, situation.reserved);
    plan
}

/// Omits exclusive runs that would overlap one that goes on, or another that is to start and was scheduled earlier. In a
/// testbed that was applied there are none; but while one commit follows another, a run of the earlier may still go on.
fn keep_apart(decisions: &mut [Decision<'_>], reserved: &[Reservation]) {
    let mut reserved = reserved.to_vec();
    let mut starts: Vec<_> = decisions
        .iter_mut()
        .filter(|decision| {
            decision.assignment.spec.exclusive && matches!(decision.verdict, Verdict::Start { .. })
        })
        .collect();
    starts.sort_by(|a, b| (a.scheduled_at, &a.assignment.job).cmp(&(b.scheduled_at, &b.assignment.job)));
    for decision in starts {
        let (start, job) = (decision.scheduled_at, decision.assignment.job.clone());
        let time = Occurrence { start, end: start + decision.assignment.schedule.length };
        if let Some(other) = reserved.iter().find(|other| other.time.intersects(&time)) {
            let message = format!(
                "a run of `{}` had the node, which is its until {}",
                other.job,
                Instant(other.time.end)
            );
            decision.verdict = omit(Phase::Missed, Reason::Busy, message);
        } else {
            reserved.push(Reservation { job, time });
        }
    }
}

/// How long before its instant an occurrence is settled: as long as it takes to write that down, on all but the
/// slowest of disks. What changes later does not concern it any more.
pub const SETTLED_AHEAD: TimeDelta = TimeDelta::milliseconds(200);

/// How long before its instant a run is made ready: long enough to pull an image.
const LEAD: TimeDelta = TimeDelta::seconds(60);

/// The same while an exclusive run is going on, which nothing should disturb for longer than it has to.
const BUSY_LEAD: TimeDelta = TimeDelta::seconds(10);

/// How long before its instant a run is to be made ready now.
pub(crate) fn lead(situation: &Situation<'_>) -> TimeDelta {
    let goes_on = |assignment: &Assignment| {
        let settled = situation.accounts.get(&assignment.job);
        let length = assignment.spec.schedule.length.to_delta();
        assignment.spec.exclusive && settled.is_some_and(|settled| *settled + length > situation.now)
    };
    if situation.desired.assignments.iter().any(goes_on) { BUSY_LEAD } else { LEAD }
}

/// The resolution of instants.
pub(crate) const STEP: TimeDelta = TimeDelta::microseconds(1);

/// Decides on one occurrence. Also [`crate::forecast`] asks, about those that are not due.
pub(crate) fn judge(
    situation: &Situation<'_>,
    assignment: &Assignment,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Verdict {
    let verdict = unless_scavenged(situation, assignment, start, end);
    // Only of what would start: a run that was missed would not have had the link either, and is not moved.
    let scavenging = situation.said.scavenging(start.max(situation.now));
    match (&verdict, scavenging.filter(|_| assignment.spec.exclusive)) {
        (Verdict::Start { .. }, Some(scavenging)) => {
            omit(Phase::Skipped, Reason::Scavenger, scavenging.to_string())
        }
        (Verdict::Start { .. }, None) if let Some(short) = situation.short => {
            omit(Phase::Skipped, Reason::ForbiddenByHost, short.to_string())
        }
        _ => verdict,
    }
}

/// The same, where the node's owner does not want its link, and its disks have room.
fn unless_scavenged(
    situation: &Situation<'_>,
    assignment: &Assignment,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Verdict {
    if let Some(lost_at) = situation.lost_at.filter(|lost_at| start <= *lost_at) {
        let lost_at = Instant(lost_at);
        let message =
            format!("the agent's journal was lost and built anew at {lost_at}, and nothing says that it ran");
        return omit(Phase::Missed, Reason::NodeOffline, message);
    }
    let limits = match allowed(situation, assignment, Occurrence { start, end }) {
        Ok(limits) => limits,
        Err(omission) => return Verdict::Omit(omission),
    };
    let schedule = &assignment.spec.schedule;
    let begin = start + RunId::new(&assignment.job, situation.node, start).offset(schedule.jitter);
    // Whoever lets a run wait for its trigger lets it begin that late, whatever it was that took the time.
    let wait = assignment.spec.trigger.as_ref().map_or(TimeDelta::zero(), |trigger| trigger.wait.to_delta());
    let deadline = begin + schedule.start_deadline.to_delta().max(wait);
    if situation.now <= deadline && situation.now < end {
        return Verdict::Start { by: deadline.min(end), limits };
    }
    let is_latest = situation.next(assignment, start + STEP).is_none_or(|next| next.start > situation.now);
    if schedule.on_missed == OnMissed::Latest && is_latest && situation.now < end {
        return Verdict::Start { by: end, limits };
    }
    if start < situation.operating_since {
        return omit(Phase::Missed, Reason::NodeOffline, "the node did not run at that time".to_owned());
    }
    let late = situation.now - begin;
    omit(
        Phase::Missed,
        Reason::Late,
        format!(
            "it could have started {}.{:03} s late at the earliest; its start deadline is {}",
            late.num_seconds(),
            late.subsec_millis(),
            schedule.start_deadline
        ),
    )
}

/// Whether a part of a job may run here at a time at all, and the most that it may take.
pub(crate) fn allowed(
    situation: &Situation<'_>,
    assignment: &Assignment,
    run: Occurrence,
) -> Result<Limits, Omission> {
    let skipped = |reason, message| Err(Omission { phase: Phase::Skipped, reason, message });
    if let Some(what) = unsupported(assignment) {
        let message = format!("the job declares a {what}");
        return skipped(Reason::Unsupported, message);
    }
    if situation.desired.node.cordoned {
        return skipped(Reason::Cordoned, "the node's manifest says `cordoned: true`".to_owned());
    }
    if let Some(cordon) = situation.said.cordoned(run.start) {
        return skipped(Reason::Cordoned, cordon.to_string());
    }
    // A client is asked when it would start.
    let is_server = assignment.role == RunRole::Server && assignment.spec.exclusive;
    if let Some(scavenging) = situation.said.scavenging(situation.now).filter(|_| is_server) {
        return skipped(Reason::Scavenger, scavenging.to_string());
    }
    let judged = situation.policy.judge(&situation.desired.node, &assignment.spec, assignment.role, run);
    let limits = judged.or_else(|forbidden| skipped(Reason::ForbiddenByHost, forbidden.to_string()))?;
    // Of what has an instant it is asked only when it would start.
    match situation.short.filter(|_| assignment.role == RunRole::Server) {
        Some(short) => skipped(Reason::ForbiddenByHost, short.to_string()),
        None => Ok(limits),
    }
}

fn omit(phase: Phase, reason: Reason, message: String) -> Verdict {
    Verdict::Omit(Omission { phase, reason, message })
}

/// What a job asks for that this agent does not do. Such a job never runs without it.
fn unsupported(assignment: &Assignment) -> Option<String> {
    let spec = &assignment.spec;
    // They are of the client, and its agent's.
    if assignment.role == RunRole::Server {
        return None;
    }
    let problem = Condition::parse(&spec.trigger.as_ref()?.when).err()?;
    Some(format!("trigger that this version of the agent does not understand: {problem}"))
}

#[cfg(test)]
mod tests;
