//! The rules that need all files together, one module per rule or tight group of rules.

mod access;
mod address;
mod container;
mod context;
mod host_network;
mod kernel;
mod keys;
mod names;
mod overlap;
mod paths;
mod ports;
mod ranges;
mod references;
mod resources;
mod schedule;
mod server;
mod settings;
mod single;
mod store;
mod targets;
mod telemetry;
mod trigger;

pub(crate) use context::{Context, Draft, Place};

/// What is known of the tree that was checked last.
#[derive(Debug, Default)]
pub(crate) struct Known {
    sound: single::Sound,
    quiet: overlap::Quiet,
    undisputed: ports::Quiet,
}

/// Applies every rule, as far as it is not known what it finds.
pub(crate) fn check(context: &Context<'_>, known: &mut Known) -> Vec<Draft> {
    const CHECKS: &[fn(&Context<'_>, &mut Vec<Draft>)] = &[
        paths::check,
        names::check,
        keys::check,
        references::check,
        ranges::check,
        settings::check,
        kernel::check_nodes,
        store::check,
        telemetry::check_config,
        telemetry::check_nodes,
    ];
    let Known { sound, quiet, undisputed } = known;
    sound.enter(context);
    let mut drafts = Vec::new();
    let mut overlaps = Vec::new();
    let (looked, ()) = rayon::join(
        || {
            for check in CHECKS {
                check(context, &mut drafts);
            }
            single::check(context, sound)
        },
        || {
            overlap::check(context, sound, quiet, &mut overlaps);
            ports::check(context, sound, undisputed, &mut overlaps);
        },
    );
    sound.keep(looked.sound);
    drafts.extend(looked.drafts);
    drafts.extend(overlaps);
    drafts
}
