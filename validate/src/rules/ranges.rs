//! `value-range`: numbers are within their ranges.

use super::{Context, Draft, Place};
use crate::Rule;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let mut report =
        |place: Place, message: String| drafts.push(Draft::new(Rule::ValueRange, place, message));
    let positive = |cpus: Option<f64>| cpus.filter(|cpus| !(cpus.is_finite() && *cpus > 0.0));

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
            if !found.elevation.is_finite() {
                report(place.key("elevation"), "the elevation is not a number".to_owned());
            }
        }
        let limits = spec.key("limits");
        if let Some(cpus) = positive(node.spec.limits.cpus) {
            report(limits.key("cpus"), format!("a limit of {cpus} CPUs is not more than 0"));
        }
        if node.spec.limits.pids == Some(0) {
            report(limits.key("pids"), "a limit of 0 processes lets nothing start".to_owned());
        }
        for (index, maintenance) in node.spec.maintenance.iter().enumerate() {
            if maintenance.length.is_zero() {
                let place = spec.key("maintenance").index(index).key("length");
                report(place, "a maintenance window must be longer than nothing".to_owned());
            }
        }
    }

    for (job, place) in context.whole_jobs() {
        let spec = place.key("spec");
        let server =
            job.spec.server.as_ref().map(|server| (&server.container, spec.key("server").key("container")));
        let containers = std::iter::once((&job.spec.container, spec.key("container"))).chain(server);
        for (container, place) in containers {
            let place = place.key("resources");
            if let Some(cpus) = positive(container.resources.cpus) {
                report(place.key("cpus"), format!("a share of {cpus} CPUs is not more than 0"));
            }
            if container.resources.pids == Some(0) {
                report(place.key("pids"), "a limit of 0 processes lets nothing start".to_owned());
            }
        }
        if job.spec.server.as_ref().is_some_and(|server| server.ready.tcp == Some(0)) {
            report(
                spec.key("server").key("ready").key("tcp"),
                "a port is a number from 1 to 65535".to_owned(),
            );
        }
    }

    if let Some((config, place)) = context.declared_config() {
        let fraction = config.spec.prune.max_fraction;
        if !(0.0..=1.0).contains(&fraction) {
            let place = place.key("spec").key("prune").key("maxFraction");
            report(place, format!("a fraction of {fraction} is not between 0 and 1"));
        }
    }
}
