//! What will become of the next occurrences, as far as it is known: what the host forbids is seen before it is due.

use crate::scheduler::{Decision, STEP, Situation, judge};
use almanac_schemas::RunRole;

/// The next occurrences, at most so many of each job, in the order of their instants, and what becomes of each if
/// nothing changes until then.
pub fn forecast<'a>(situation: &Situation<'a>, most_of_each: usize) -> Vec<Decision<'a>> {
    let mut decisions = Vec::new();
    let assignments = situation.desired.assignments.iter();
    for assignment in assignments.filter(|assignment| assignment.role == RunRole::Client) {
        let settled = situation.accounts.get(&assignment.job).map(|settled| *settled + STEP);
        let mut from = settled.unwrap_or(situation.now).max(situation.now).max(assignment.since);
        for _ in 0..most_of_each {
            let Some(next) = assignment.schedule.next(from) else { break };
            if next.start >= situation.desired.valid_until {
                break;
            }
            let then = Situation { now: next.start, ..*situation };
            decisions.push(Decision {
                assignment,
                scheduled_at: next.start,
                verdict: judge(&then, assignment, next.start, next.end),
            });
            from = next.start + STEP;
        }
    }
    decisions.sort_by(|a, b| (a.scheduled_at, &a.assignment.job).cmp(&(b.scheduled_at, &b.assignment.job)));
    decisions
}
