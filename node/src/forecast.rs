//! What will become of the next occurrences, as far as it is known: what the host forbids is seen before it is due.

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{Cordon, JobName, Reason, RunRole, Scavenging};
use chrono::{DateTime, Utc};

use crate::{
    instructions::Said,
    scheduler::{Decision, STEP, Situation, Verdict, judge},
};

/// What the host says of what is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// What its owner said keeps new runs off.
    pub cordon: Option<Cordon>,
    /// Who said there that they want its link.
    pub scavenging: Option<Scavenging>,
    /// The jobs whose next run will not start, in the order of their names.
    pub hindrances: Vec<Hindrance>,
}

/// Why the next run of a job will not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// The job.
    pub job: JobName,
    /// The run's instant.
    pub scheduled_at: DateTime<Utc>,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// The most hindrances that are told.
const MOST: usize = 100;

/// What keeps the next run of each job from starting on this host alone. That a node is cordoned is known otherwise.
pub fn hindrances(situation: &Situation<'_>) -> Vec<Hindrance> {
    let hindrance = |decision: Decision<'_>| match decision.verdict {
        Verdict::Omit(omission)
            if matches!(omission.reason, Reason::ForbiddenByHost | Reason::Unsupported) =>
        {
            Some(Hindrance {
                job: decision.assignment.job.clone(),
                scheduled_at: decision.scheduled_at,
                reason: omission.reason,
                message: omission.message,
            })
        }
        Verdict::Omit(_) | Verdict::Start { .. } => None,
    };
    let mut found: Vec<_> = forecast(situation, 1).into_iter().filter_map(hindrance).collect();
    found.sort_by(|a, b| a.job.cmp(&b.job));
    found.truncate(MOST);
    found
}

impl Outlook {
    /// What is said, and what is known to come.
    pub fn of(said: &Said, hindrances: Vec<Hindrance>) -> Self {
        Self { cordon: said.here.clone(), scavenging: said.scavenging_here.clone(), hindrances }
    }
}

impl From<&Outlook> for v1::Outlook {
    fn from(outlook: &Outlook) -> Self {
        let hindrance = |hindrance: &Hindrance| v1::Hindrance {
            job: hindrance.job.to_string(),
            scheduled_at: Some(timestamp(hindrance.scheduled_at)),
            reason: v1::Reason::from(hindrance.reason).into(),
            message: hindrance.message.clone(),
        };
        Self {
            cordon: outlook.cordon.clone().map(v1::Cordon::from),
            scavenging: outlook.scavenging.clone().map(v1::Scavenging::from),
            hindrances: outlook.hindrances.iter().map(hindrance).collect(),
        }
    }
}

/// The next occurrences, at most so many of each job, in the order of their instants, and what becomes of each if
/// nothing changes until then.
pub fn forecast<'a>(situation: &Situation<'a>, most_of_each: usize) -> Vec<Decision<'a>> {
    let mut decisions = Vec::new();
    let assignments = situation.desired.assignments.iter();
    for assignment in assignments.filter(|assignment| assignment.role == RunRole::Client) {
        let settled = situation.accounts.get(&assignment.job).map(|settled| *settled + STEP);
        let mut from = settled.unwrap_or(situation.now).max(situation.now).max(assignment.since);
        for _ in 0..most_of_each {
            let Some(next) = situation.next(assignment, from) else { break };
            if next.start >= situation.desired.valid_until {
                break;
            }
            let then = Situation { now: next.start, ..*situation };
            decisions.push(Decision {
                assignment,
                scheduled_at: next.start,
                client: None,
                verdict: judge(&then, assignment, next.start, next.end),
            });
            from = next.start + STEP;
        }
    }
    decisions.sort_by(|a, b| (a.scheduled_at, &a.assignment.job).cmp(&(b.scheduled_at, &b.assignment.job)));
    decisions
}
