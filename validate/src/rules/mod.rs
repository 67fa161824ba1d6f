//! The rules that need all files together, one module per rule or tight group of rules.

mod access;
mod container;
mod context;
mod kernel;
mod keys;
mod names;
mod overlap;
mod paths;
mod ranges;
mod references;
mod resources;
mod schedule;
mod settings;
mod targets;

use rayon::prelude::*;

pub(crate) use context::{Context, Draft, Place};

/// Applies every rule.
pub(crate) fn check(context: &Context<'_>) -> Vec<Draft> {
    const CHECKS: &[fn(&Context<'_>, &mut Vec<Draft>)] = &[
        paths::check,
        names::check,
        keys::check,
        references::check,
        targets::check,
        access::check,
        kernel::check,
        schedule::check,
        resources::check,
        container::check,
        ranges::check,
        settings::check,
        overlap::check,
    ];
    let drafts = |check: &fn(&Context<'_>, &mut Vec<Draft>)| {
        let mut drafts = Vec::new();
        check(context, &mut drafts);
        drafts
    };
    CHECKS.par_iter().flat_map_iter(drafts).collect()
}
