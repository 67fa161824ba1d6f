//! The rules that need all files together, one module per rule or tight group of rules.

mod context;
mod names;

pub(crate) use context::{Context, Draft, Place};

/// Applies every rule.
pub(crate) fn check(context: &Context<'_>) -> Vec<Draft> {
    const CHECKS: &[fn(&Context<'_>, &mut Vec<Draft>)] = &[names::check];
    let mut drafts = Vec::new();
    for check in CHECKS {
        check(context, &mut drafts);
    }
    drafts
}
