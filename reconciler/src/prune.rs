//! The guard against a mass deletion by accident: a commit that removes a large part of the testbed
//! waits for a human's word.

use std::fmt;

use almanac_schemas::config::Prune;
use almanac_validate::{
    Testbed,
    plan::{Action, Change, Plan},
};

/// The trailer of a commit message by which its author says that a large removal is meant.
pub const TRAILER: &str = "Almanac-Prune";

/// Fewer removals than this are never held back: in a small testbed they are a large part soon.
const AT_LEAST: usize = 10;

/// A removal that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    parts: Vec<Part>,
    /// Whether nothing would be left.
    everything: bool,
}

/// What is removed of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    what: &'static str,
    /// Of how many.
    total: usize,
    gone: Vec<String>,
}

/// How many of each kind are named, so that whoever approves sees what is meant.
const NAMED: usize = 3;

/// Whether what a plan removes from what is in force waits for a human, by the rules that are in force:
/// a commit cannot lift the guard for itself.
pub fn guard(in_force: &Testbed, plan: &Plan<'_>, rules: &Prune) -> Option<Removal> {
    let parts = [
        Part { what: "users", total: in_force.users.len(), gone: removed(&plan.users) },
        Part { what: "nodes", total: in_force.nodes.len(), gone: removed(&plan.nodes) },
        Part { what: "jobs", total: in_force.jobs.len(), gone: removed(&plan.jobs) },
    ];
    let total: usize = parts.iter().map(|part| part.total).sum();
    let gone: usize = parts.iter().map(|part| part.gone.len()).sum();
    let added = plan.counts().added;
    let everything = total > 0 && gone == total && added == 0;
    let too_many = |part: &Part| {
        let gone = part.gone.len();
        gone > 0 && (everything || gone >= AT_LEAST && share(gone, part.total) > rules.max_fraction)
    };
    let parts: Vec<_> = parts.into_iter().filter(too_many).collect();
    (!parts.is_empty()).then_some(Removal { parts, everything })
}

/// Counts below 2^52 are exact in a fraction, and no testbed comes near.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn share(gone: usize, total: usize) -> f64 {
    gone as f64 / total as f64
}

fn removed<N: fmt::Display, S>(changes: &[Change<'_, N, S>]) -> Vec<String> {
    let gone = changes.iter().filter(|change| change.edit.action() == Action::Removed);
    gone.map(|change| change.name.to_string()).collect()
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.gone.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
        write!(f, "{} of {} {} ({}", self.gone.len(), self.total, self.what, names.join(", "))?;
        match self.gone.len().saturating_sub(NAMED) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        f.write_str(if self.everything { "it leaves nothing: it removes " } else { "it removes " })?;
        match parts.split_last() {
            Some((last, [])) => f.write_str(last),
            Some((last, first)) => write!(f, "{} and {last}", first.join(", ")),
            None => f.write_str("nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use almanac_validate::{Entry, Source, check};
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn testbed(users: usize) -> Testbed {
        let text: String = (0..users)
            .map(|n| {
                format!("apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: user-{n} }}\nspec: {{ role: admin, keys: [] }}\n---\n")
            })
            .collect();
        let sources = [Arc::new(Source::read("users.yaml", Entry::File(text.as_bytes())))];
        check(&sources, DateTime::UNIX_EPOCH).testbed().unwrap().as_ref().clone()
    }

    fn held(before: usize, after: usize, max_fraction: f64) -> Option<String> {
        let (before, after) = (testbed(before), testbed(after));
        let plan = Plan::between(&before, &after);
        guard(&before, &plan, &Prune { max_fraction }).map(|removal| removal.to_string())
    }

    #[test]
    fn more_than_the_share_and_ten_at_least() {
        assert_eq!(held(20, 10, 0.5), None, "half is not more than half");
        assert_eq!(
            held(20, 9, 0.5).as_deref(),
            Some("it removes 11 of 20 users (`user-10`, `user-11`, `user-12` and 8 more)")
        );
        assert_eq!(held(18, 9, 0.1), None, "nine are fewer than ten");
        assert_eq!(
            held(30, 20, 0.0).as_deref(),
            Some("it removes 10 of 30 users (`user-20`, `user-21`, `user-22` and 7 more)")
        );
        assert_eq!(held(30, 1, 1.0), None, "nothing is more than all");
    }

    #[test]
    fn an_empty_tree_waits_however_small_the_testbed_is() {
        assert_eq!(
            held(2, 0, 1.0).as_deref(),
            Some("it leaves nothing: it removes 2 of 2 users (`user-0`, `user-1`)")
        );
        assert_eq!(held(0, 0, 0.0), None);
    }

    proptest! {
        /// A guard with a larger share never holds back what one with a smaller share lets pass.
        #[test]
        fn a_larger_share_lets_more_pass(before in 0_usize..40, after in 0_usize..40, a in 0.0..1.0, b in 0.0..1.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(held(before, after, low).is_some() || held(before, after, high).is_none());
        }
    }
}
