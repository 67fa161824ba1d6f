//! `resources`: a container asks for no more than the limits of each node that it runs on.

use almanac_schemas::{RunRole, container::Container};

use super::{Context, Draft, Place, context::Target, single::Subject};
use crate::Rule;

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    let spec = place.key("spec");
    for target in targets {
        match (target.role, &job.spec.server) {
            (RunRole::Server, Some(server)) => {
                compare(target, &server.container, None, &spec.key("server").key("container"), drafts);
            }
            _ => {
                let artifacts =
                    job.spec.artifacts.max_size.map(|size| (size, spec.key("artifacts").key("maxSize")));
                compare(target, &job.spec.container, artifacts, &spec.key("container"), drafts);
            }
        }
    }
}

fn compare(
    target: &Target<'_, '_>,
    container: &Container,
    artifacts: Option<(almanac_schemas::Size, Place)>,
    place: &Place,
    drafts: &mut Vec<Draft>,
) {
    let Some((node, node_place)) = target.node.and_then(|node| Some((node.manifest?, &node.place))) else {
        return;
    };
    let limits = &node.spec.limits;
    let asked = &container.resources;
    let mut report = |what: &str, asked: String, limit: String, place: Place, key: &str| {
        let message =
            format!("{what} of {asked} is more than the {limit} that node `{}` allows", target.name);
        drafts.push(
            Draft::new(Rule::Resources, place, message)
                .related("the node's limit", node_place.key("spec").key("limits").key(key))
                .note("a container that asks for nothing gets what the node allows")
                .help(format!("ask for at most {limit}, or leave it out")),
        );
    };
    let resources = place.key("resources");
    if let (Some(asked), Some(limit)) = (asked.cpus, limits.cpus)
        && asked > limit
    {
        report("a CPU share", asked.to_string(), limit.to_string(), resources.key("cpus"), "cpus");
    }
    if let (Some(asked), Some(limit)) = (asked.memory, limits.memory)
        && asked > limit
    {
        report("memory", asked.to_string(), limit.to_string(), resources.key("memory"), "memory");
    }
    if let (Some(asked), Some(limit)) = (asked.pids, limits.pids)
        && asked > limit
    {
        report("a process limit", asked.to_string(), limit.to_string(), resources.key("pids"), "pids");
    }
    if let (Some((asked, place)), Some(limit)) = (artifacts, limits.artifacts)
        && asked > limit
    {
        report("an artifact size", asked.to_string(), limit.to_string(), place, "artifacts");
    }
}
