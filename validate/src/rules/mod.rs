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
pub(crate) use overlap::Quiet;

/// Applies every rule. `quiet` is what is known of an earlier tree.
pub(crate) fn check(context: &Context<'_>, quiet: &mut Quiet) -> Vec<Draft> {
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
    ];
    let drafts = |check: &fn(&Context<'_>, &mut Vec<Draft>)| {
        let mut drafts = Vec::new();
        check(context, &mut drafts);
        drafts
    };
    let overlaps = || {
        let mut drafts = Vec::new();
        overlap::check(context, quiet, &mut drafts);
        drafts
    };
    let (mut drafts, overlaps) =
        rayon::join(|| CHECKS.par_iter().flat_map_iter(drafts).collect::<Vec<_>>(), overlaps);
    drafts.extend(overlaps);
    drafts
}
