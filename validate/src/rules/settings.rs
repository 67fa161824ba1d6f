//! `heartbeat`: a node is stale after more than one heartbeat and offline later than that.

use super::{Context, Draft};
use crate::Rule;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let Some((config, place)) = context.declared_config() else { return };
    let spec = place.key("spec");

    let beat = &config.spec.heartbeat;
    let place = spec.key("heartbeat");
    let mut report = |key: &str, message: String, help: &str| {
        drafts.push(Draft::new(Rule::Heartbeat, place.key(key), message).help(help));
    };
    if beat.interval.is_zero() {
        report("interval", "heartbeats need an interval".to_owned(), "write, for example, `interval: 30s`");
    }
    if beat.stale_after <= beat.interval {
        let message =
            format!("`staleAfter` ({}) must be longer than `interval` ({})", beat.stale_after, beat.interval);
        report("staleAfter", message, "allow for some heartbeats to get lost: three or four intervals");
    }
    if beat.offline_after <= beat.stale_after {
        let message = format!(
            "`offlineAfter` ({}) must be longer than `staleAfter` ({})",
            beat.offline_after, beat.stale_after
        );
        report("offlineAfter", message, "a node is first stale, then offline");
    }
}
