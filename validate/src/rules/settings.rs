//! `heartbeat`: a node is stale after more than one heartbeat and offline later than that. `store`:
//! artifacts go to a store that Almanac knows.

use super::{Context, Draft, Place};
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

    if let Some(store) = &config.spec.artifacts.store {
        drafts.extend(unknown_store(store, spec.key("artifacts").key("store")));
    }
}

fn unknown_store(store: &str, place: Place) -> Option<Draft> {
    let bucket = |rest: &str| {
        let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let message = match store.split_once("://") {
        Some(("file", path)) if path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
            return None;
        }
        Some(("az" | "s3", rest)) if bucket(rest) => return None,
        Some(("file", _)) => format!("`{store}` does not name an absolute path without `..`"),
        Some(("az", _)) => format!("`{store}` does not name a container"),
        Some(("s3", _)) => format!("`{store}` does not name a bucket"),
        _ => format!("`{store}` is not the address of a store"),
    };
    let help = "write `file:///absolute/path`, `az://container/prefix` or `s3://bucket/prefix`";
    Some(Draft::new(Rule::Store, place, message).help(help))
}
