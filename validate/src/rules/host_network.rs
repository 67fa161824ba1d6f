//! `host-network`: a container with `network: host` runs only on nodes that say `hostNetwork: true`.

use almanac_schemas::{RunRole, container::Network};

use super::{Context, Draft, single::Subject};
use crate::Rule;

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    for target in targets {
        let spec = place.key("spec");
        let (container, place) = match (target.role, &job.spec.server) {
            (RunRole::Server, Some(server)) => (&server.container, spec.key("server").key("container")),
            _ => (&job.spec.container, spec.key("container")),
        };
        let Some((node, node_place)) = target.node.and_then(|node| Some((node.manifest?, &node.place)))
        else {
            continue;
        };
        if container.network != Network::Host || node.spec.host_network {
            continue;
        }
        drafts.push(
            Draft::new(
                Rule::HostNetwork,
                place.key("network"),
                format!("node `{}` does not let containers see its own network", target.name),
            )
            .related("the node is declared here", node_place.name())
            .help(format!(
                "use `network: bridge`, or ask an admin and the node's owner, `{}`, for `hostNetwork: true`",
                node.spec.owner
            )),
        );
    }
}
