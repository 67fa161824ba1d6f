//! `kernel-access`: a job changes kernel settings only when its owner is privileged or admin, and
//! each of its nodes is privileged and lists the setting; and what is listed or set is a setting.

use almanac_schemas::{
    Job, Node, RunRole, UserRole,
    container::Network,
    kernel::{FilePattern, KernelFile, Setting, SettingError, Sysctl, value},
    node::{KernelAllowance, NodeRole},
};

use super::{Context, Draft, Place, single::Subject};
use crate::{Rule, words::listed};

pub(super) fn check(context: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    if job.spec.kernel.is_none() {
        return;
    }
    sense(job, place, drafts);
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
    let nothing = KernelAllowance::default();
    let allowance = node.spec.kernel.as_ref().unwrap_or(&nothing);
    for (setting, field, name) in settings(job) {
        let Ok(setting) = setting else { continue };
        if allowance.allows(&setting) {
            continue;
        }
        let allowed = if field == "sysctls" { &allowance.sysctls } else { &allowance.files };
        drafts.push(
            Draft::new(
                Rule::KernelAccess,
                kernel.key(field).key(name).on_key(),
                format!("node `{}` does not allow {setting}", node.metadata.name),
            )
            .related(
                format!("it allows {}", listed(allowed.iter().map(String::as_str))),
                node_place.key("spec").key("kernel").key(field).on_key(),
            )
            .help(format!("ask the node's owner, `{}`, to add it to `kernel.{field}`", node.spec.owner)),
        );
    }
}

/// The settings of a job, each with the field that it stands in and its name there.
fn settings(job: &Job) -> impl Iterator<Item = (Result<Setting, SettingError>, &'static str, &str)> {
    let kernel = job.spec.kernel.iter();
    let sysctls = kernel.clone().flat_map(|kernel| kernel.sysctls.keys());
    let files = kernel.flat_map(|kernel| kernel.files.keys());
    let sysctls = sysctls.map(|name| (Sysctl::parse(name).map(Setting::Sysctl), "sysctls", name.as_str()));
    let files = files.map(|path| (KernelFile::parse(path).map(Setting::File), "files", path.as_str()));
    sysctls.chain(files)
}

/// Settings that no node can allow, and values that no kernel takes.
fn sense(job: &Job, place: &Place, drafts: &mut Vec<Draft>) {
    let kernel = place.key("spec").key("kernel");
    for (setting, field, name) in settings(job) {
        if let Err(error) = setting {
            let message = format!("`{}` is no kernel setting of a job: {error}", shown(name));
            drafts.push(Draft::new(Rule::KernelAccess, kernel.key(field).key(name).on_key(), message));
        }
    }
    let Some(declared) = &job.spec.kernel else { return };
    for (field, values) in [("sysctls", &declared.sysctls), ("files", &declared.files)] {
        for (name, text) in values {
            if let Err(error) = value(text) {
                let message = format!("the value of `{}` cannot be set: {error}", shown(name));
                drafts.push(Draft::new(Rule::KernelAccess, kernel.key(field).key(name), message));
            }
        }
    }
    if job.spec.container.network == Network::Host && !declared.sysctls.is_empty() {
        drafts.push(
            Draft::new(
                Rule::KernelAccess,
                kernel.key("sysctls").on_key(),
                "with `network: host` the sysctls would be the host's own, and nobody would put them back"
                    .to_owned(),
            )
            .related(
                "the container has no network of its own",
                place.key("spec").key("container").key("network"),
            )
            .help("use `network: bridge`"),
        );
    }
}

/// What nodes list and no job can have.
pub(super) fn check_nodes(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    for (node, place) in context.whole_nodes() {
        let Some(allowance) = &node.spec.kernel else { continue };
        let kernel = place.key("spec").key("kernel");
        let sysctls = allowance.sysctls.iter().map(|name| Sysctl::parse(name).err()).enumerate();
        let files = allowance.files.iter().map(|path| FilePattern::parse(path).err()).enumerate();
        for (field, listed, (index, error)) in sysctls
            .map(|found| ("sysctls", &allowance.sysctls, found))
            .chain(files.map(|found| ("files", &allowance.files, found)))
        {
            if let Some(error) = error {
                let message = format!("`{}` allows no job anything: {error}", shown(&listed[index]));
                drafts.push(Draft::new(Rule::KernelAccess, kernel.key(field).index(index), message));
            }
        }
    }
}

/// A name without what a terminal would obey, and not longer than a line.
fn shown(name: &str) -> String {
    const MOST: usize = 100;
    let shown: String = name.chars().filter(|character| !character.is_control()).take(MOST).collect();
    if name.chars().count() > MOST { format!("{shown}...") } else { shown }
}
