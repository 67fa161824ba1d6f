//! `targets`: a job lists or selects its nodes, each once. `server`: its server runs on none of them.

use std::collections::BTreeMap;

use almanac_schemas::{RunRole, job::TargetsError};

use super::{Context, Draft, single::Subject};
use crate::Rule;

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    let spec = place.key("spec");
    if let Err(error) = job.spec.targets() {
        let (place, help) = match error {
            TargetsError::Both => (spec.key("nodeSelector").on_key(), "remove one of the two"),
            TargetsError::None if job.spec.nodes.is_some() => (spec.key("nodes").on_key(), "list a node"),
            TargetsError::None if job.spec.node_selector.is_some() => {
                (spec.key("nodeSelector").on_key(), "give a label, such as `provider: starlink`")
            }
            TargetsError::None => (
                spec.clone().on_key(),
                "write, for example, `nodes: [london-01]` or `nodeSelector: { provider: starlink }`",
            ),
        };
        drafts.push(Draft::new(Rule::Targets, place, error.to_string()).help(help));
    }

    let mut listed = BTreeMap::new();
    for (index, name) in job.spec.nodes.iter().flatten().enumerate() {
        let place = spec.key("nodes").index(index);
        match listed.get(name) {
            None => drop(listed.insert(name, place)),
            Some(first) => drafts.push(
                Draft::new(Rule::Targets, place, format!("node `{name}` is listed twice"))
                    .related("it is listed first here", first.clone())
                    .help("a job runs once on each of its nodes: remove one of the two"),
            ),
        }
    }

    let Some(server) = targets.iter().find(|target| target.role == RunRole::Server) else { return };
    let same = targets.iter().find(|target| target.role == RunRole::Client && target.name == server.name);
    if let Some(client) = same {
        let name = server.name;
        drafts.push(
            Draft::new(
                Rule::Server,
                server.place(place),
                format!(
                    "the server of `{}` is on node `{name}`, where its client also runs",
                    job.metadata.name
                ),
            )
            .related("the client runs here", client.place(place))
            .help("choose another node for the server: both would measure the same host"),
        );
    }
}
