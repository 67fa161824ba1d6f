//! `access`: a job's owner may schedule on each node that the job needs.

use almanac_schemas::{RunRole, node::Access};

use super::{Context, Draft, single::Subject};
use crate::{
    Rule,
    words::{listed, plural},
};

pub(super) fn check(context: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    let Some(owner) = context.users.get(job.spec.owner.as_str()).and_then(|user| user.manifest) else {
        return;
    };
    for target in targets {
        let Some((node, node_place)) = target.node.and_then(|node| Some((node.manifest?, &node.place)))
        else {
            continue;
        };
        let name = &owner.metadata.name;
        if node.spec.admits(name, owner.spec.team.as_ref()) {
            continue;
        }
        let part = match target.role {
            RunRole::Client => "",
            RunRole::Server => ", where its server would run",
        };
        let admitted = node.spec.access.as_ref().map_or(String::new(), admitted);
        drafts.push(
            Draft::new(
                Rule::Access,
                target.place(place),
                format!("`{name}` may not schedule on node `{}`{part}", target.name),
            )
            .related(admitted, node_place.key("spec").key("access").on_key())
            .help(format!(
                "ask the node's owner, `{}`, to admit `{name}` or a team of theirs",
                node.spec.owner
            )),
        );
    }
}

fn admitted(access: &Access) -> String {
    let teams = listed(access.teams.iter().map(|team| team.as_str()));
    let users = listed(access.users.iter().map(|user| user.as_str()));
    let (team, user) = (plural(access.teams.len(), "team"), plural(access.users.len(), "user"));
    match (access.teams.is_empty(), access.users.is_empty()) {
        (true, true) => "it admits its owner only".to_owned(),
        (false, true) => format!("it admits the {team} {teams}"),
        (true, false) => format!("it admits the {user} {users}"),
        (false, false) => format!("it admits the {team} {teams} and the {user} {users}"),
    }
}
