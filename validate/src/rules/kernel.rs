//! `kernel-access`: a job changes kernel settings only when its owner is privileged or admin, and
//! each of its nodes is privileged and lists the setting.

use almanac_schemas::{Job, Node, RunRole, UserRole, node::NodeRole};

use super::{Context, Draft, Place, single::Subject};
use crate::{Rule, words::listed};

pub(super) fn check(context: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    if job.spec.kernel.is_none() {
        return;
    }
    owner(context, job, place, drafts);
    for target in targets {
        // Kernel settings are those of the job's own container, not of its server's host.
        if target.role == RunRole::Server {
            continue;
        }
        if let Some((node, node_place)) = target.node.and_then(|node| Some((node.manifest?, &node.place))) {
            node_allows(job, place, node, node_place, drafts);
        }
    }
}

fn owner(context: &Context<'_>, job: &Job, place: &Place, drafts: &mut Vec<Draft>) {
    let Some(declared) = context.users.get(job.spec.owner.as_str()) else { return };
    let Some(owner) = declared.manifest.filter(|owner| owner.spec.role == UserRole::User) else { return };
    let name = &owner.metadata.name;
    drafts.push(
        Draft::new(
            Rule::KernelAccess,
            place.key("spec").key("kernel").on_key(),
            format!("the job has kernel settings, but its owner `{name}` has the role `{}`", owner.spec.role),
        )
        .related(format!("`{name}` is declared here"), declared.place.name())
        .help("the owner's role must be `privileged` or `admin`"),
    );
}

fn node_allows(job: &Job, place: &Place, node: &Node, node_place: &Place, drafts: &mut Vec<Draft>) {
    let kernel = place.key("spec").key("kernel");
    let name = &node.metadata.name;
    if node.spec.role != NodeRole::Privileged {
        drafts.push(
            Draft::new(
                Rule::KernelAccess,
                kernel.on_key(),
                format!(
                    "the job has kernel settings, but its node `{name}` has the role `{}`",
                    node.spec.role
                ),
            )
            .related("the node is declared here", node_place.name())
            .help("the node's role must be `privileged`"),
        );
        return;
    }
    let allowed = node.spec.kernel.as_ref().map_or(&[][..], |kernel| kernel.sysctls.as_slice());
    for sysctl in job.spec.kernel.iter().flat_map(|kernel| kernel.sysctls.keys()) {
        if allowed.contains(sysctl) {
            continue;
        }
        drafts.push(
            Draft::new(
                Rule::KernelAccess,
                kernel.key("sysctls").key(sysctl).on_key(),
                format!("node `{name}` does not allow the sysctl `{sysctl}`"),
            )
            .related(
                format!("it allows {}", listed(allowed.iter().map(String::as_str))),
                node_place.key("spec").key("kernel").key("sysctls").on_key(),
            )
            .help(format!("ask the node's owner, `{}`, to add it to `kernel.sysctls`", node.spec.owner)),
        );
    }
}
