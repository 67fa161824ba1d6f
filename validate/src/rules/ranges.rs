//! `value-range`: numbers are within their ranges.

use std::ops::RangeInclusive;

use almanac_schemas::{Duration, Size};

use super::{Context, Draft, Place, single::Subject};
use crate::Rule;

/// What container engines accept. Less is refused by them, or means no limit at all once it is rounded;
/// more is a slip, as no kernel knows so many.
const CPUS: RangeInclusive<f64> = 0.01..=8192.0;

/// The least memory that a container starts with; no memory at all would mean no limit.
const LEAST_MEMORY: Size = Size::from_bytes(6 << 20);

/// The least that files get of a link, per second. Less would not bring a run's log home before the next run.
const LEAST_RATE: Size = Size::from_bytes(16 << 10);

/// How long nodes may be on their own. What is shorter stops every schedule with a restart of the reconciler; after
/// what is longer nobody remembers what was declared.
const OFFLINE: RangeInclusive<Duration> = Duration::from_secs(600)..=Duration::from_secs(90 * 86_400);

/// How long after it is moved a run may start at the earliest. Less does not reach a node whose connection breaks at the
/// wrong moment; after more than the most nobody expects it any more.
const DELAY: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(7 * 86_400);

/// For how long a time is looked for to which a run is moved. It is a search, instant by instant.
const WITHIN: RangeInclusive<Duration> = Duration::from_secs(3_600)..=Duration::from_secs(366 * 86_400);

/// From the deepest point of the sea to where space begins, in metres.
const ELEVATION: RangeInclusive<f64> = -11_000.0..=100_000.0;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let mut report =
        |place: Place, message: String| drafts.push(Draft::new(Rule::ValueRange, place, message));

    for (node, place) in context.whole_nodes() {
        let spec = place.key("spec");
        if let Some(found) = &node.spec.coordinates {
            let place = spec.key("coordinates");
            for (key, value, bound) in
                [("latitude", found.latitude, 90.0), ("longitude", found.longitude, 180.0)]
            {
                if !(-bound..=bound).contains(&value) {
                    report(
                        place.key(key),
                        format!("a {key} of {value} is not between -{bound} and {bound} degrees"),
                    );
                }
            }
            if !ELEVATION.contains(&found.elevation) {
                let (low, high) = (ELEVATION.start(), ELEVATION.end());
                let message =
                    format!("an elevation of {} is not between {low} and {high} metres", found.elevation);
                report(place.key("elevation"), message);
            }
        }
        let limits = spec.key("limits");
        if let Some(cpus) = wrong_cpus(node.spec.limits.cpus) {
            report(limits.key("cpus"), cpus_in_words("a limit", cpus));
        }
        if let Some(memory) = wrong_memory(node.spec.limits.memory) {
            report(limits.key("memory"), memory_in_words(memory));
        }
        if node.spec.limits.pids == Some(0) {
            report(limits.key("pids"), "a limit of 0 processes lets nothing start".to_owned());
        }
        if let Some(rate) = node.spec.upload_rate.filter(|rate| *rate < LEAST_RATE) {
            let message = format!("an upload rate of {rate} a second is less than {LEAST_RATE}");
            report(spec.key("uploadRate"), message);
        }
        for (index, maintenance) in node.spec.maintenance.iter().enumerate() {
            if maintenance.length.is_zero() {
                let place = spec.key("maintenance").index(index).key("length");
                report(place, "a maintenance window must be longer than nothing".to_owned());
            }
        }
    }

    if let Some((config, place)) = context.declared_config() {
        let fraction = config.spec.prune.max_fraction;
        if !(0.0..=1.0).contains(&fraction) {
            let place = place.key("spec").key("prune").key("maxFraction");
            report(place, format!("a fraction of {fraction} is not between 0 and 1"));
        }
        let offline = config.spec.nodes.offline_for;
        if !OFFLINE.contains(&offline) {
            let place = place.key("spec").key("nodes").key("offlineFor");
            let (least, most) = (OFFLINE.start(), OFFLINE.end());
            report(
                place,
                format!("nodes cannot be offline for {offline}: it is not between {least} and {most}"),
            );
        }
        let scavenger = &config.spec.scavenger;
        for (key, found, range) in [("delay", scavenger.delay, DELAY), ("within", scavenger.within, WITHIN)] {
            if !range.contains(&found) {
                let (least, most) = (range.start(), range.end());
                let message = format!("a {key} of {found} is not between {least} and {most}");
                report(place.key("spec").key("scavenger").key(key), message);
            }
        }
    }
}

pub(super) fn of_job(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let mut report =
        |place: Place, message: String| drafts.push(Draft::new(Rule::ValueRange, place, message));
    let Subject { job, place, .. } = subject;
    let spec = place.key("spec");
    let server =
        job.spec.server.as_ref().map(|server| (&server.container, spec.key("server").key("container")));
    let containers = std::iter::once((&job.spec.container, spec.key("container"))).chain(server);
    for (container, place) in containers {
        let place = place.key("resources");
        if let Some(cpus) = wrong_cpus(container.resources.cpus) {
            report(place.key("cpus"), cpus_in_words("a share", cpus));
        }
        if let Some(memory) = wrong_memory(container.resources.memory) {
            report(place.key("memory"), memory_in_words(memory));
        }
        if container.resources.pids == Some(0) {
            report(place.key("pids"), "a limit of 0 processes lets nothing start".to_owned());
        }
    }
    if job.spec.server.as_ref().is_some_and(|server| server.ready.tcp == Some(0)) {
        report(spec.key("server").key("ready").key("tcp"), "a port is a number from 1 to 65535".to_owned());
    }
}

fn wrong_cpus(cpus: Option<f64>) -> Option<f64> {
    cpus.filter(|cpus| !CPUS.contains(cpus))
}

fn wrong_memory(memory: Option<Size>) -> Option<Size> {
    memory.filter(|memory| *memory < LEAST_MEMORY)
}

fn cpus_in_words(what: &str, cpus: f64) -> String {
    let (least, most) = (CPUS.start(), CPUS.end());
    if cpus <= 0.0 {
        return format!("{what} of {cpus} CPUs is not more than 0");
    }
    match cpus < *least {
        true => format!("{what} of {cpus} CPUs is less than {least}, the least that an engine grants"),
        false => format!("{what} of {cpus} CPUs is more than the {most} that a kernel knows"),
    }
}

fn memory_in_words(memory: Size) -> String {
    format!("a limit of {memory} of memory is less than {LEAST_MEMORY}, which a container needs to start")
}
