//! `unknown-user` and `unknown-node`: what a manifest refers to is declared. `unmatched-selector`: a
//! selector selects something.

use almanac_schemas::job::Targets;

use super::{Context, Draft, Place, single::Subject};
use crate::{
    Rule,
    suggest::{did_you_mean, nearest, slip},
};

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    // While some names are unreadable, what seems unknown may be one of them.
    if !context.complete {
        return;
    }
    for (node, place) in context.whole_nodes() {
        let spec = place.key("spec");
        user(context, node.spec.owner.as_str(), spec.key("owner"), drafts);
        let admitted = node.spec.access.iter().flat_map(|access| access.users.iter().enumerate());
        for (index, name) in admitted {
            user(context, name.as_str(), spec.key("access").key("users").index(index), drafts);
        }
    }
}

pub(super) fn of_job(context: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    if !context.complete {
        return;
    }
    let Subject { job, place, targets } = subject;
    user(context, job.spec.owner.as_str(), place.key("spec").key("owner"), drafts);
    for target in targets {
        if target.node.is_none() {
            node(context, target.name, target.place(place), drafts);
        }
    }
    let nothing = targets.len() == usize::from(job.spec.server.is_some());
    // A damaged node may be the one that a selector means: its labels are not known.
    let all_known = || context.nodes.values().all(|node| node.manifest.is_some());
    if matches!(job.spec.targets(), Ok(Targets::Selector(_))) && nothing && all_known() {
        drafts.push(unmatched(context, job, place));
    }
}

fn user(context: &Context<'_>, name: &str, place: Place, drafts: &mut Vec<Draft>) {
    if context.users.contains_key(name) {
        return;
    }
    let draft = Draft::new(Rule::UnknownUser, place, format!("user `{name}` is not declared"));
    let near = nearest(name, context.users.keys().copied());
    drafts.push(match (context.nodes.get(name), near) {
        (Some(node), _) => draft.related(format!("`{name}` is a node"), node.place.name()),
        (None, Some(near)) => suggest(draft, name, near, context.users.keys().copied()),
        (None, None) => draft.help(format!("add a manifest of `kind: User` with the name `{name}`")),
    });
}

fn node(context: &Context<'_>, name: &str, place: Place, drafts: &mut Vec<Draft>) {
    let draft = Draft::new(Rule::UnknownNode, place, format!("node `{name}` is not declared"));
    let near = nearest(name, context.nodes.keys().copied());
    drafts.push(match (context.users.get(name), near) {
        (Some(user), _) => draft.related(format!("`{name}` is a user"), user.place.name()),
        (None, Some(near)) => suggest(draft, name, near, context.nodes.keys().copied()),
        (None, None) => draft.help(format!("add a manifest of `kind: Node` with the name `{name}`")),
    });
}

fn suggest<'a>(draft: Draft, name: &str, near: &str, declared: impl Iterator<Item = &'a str>) -> Draft {
    let place = draft.place.clone();
    let draft = draft.help(did_you_mean(near));
    match slip(name, declared) {
        Some(meant) if meant == near => draft.fix(place, name, meant),
        _ => draft,
    }
}

/// A job without nodes does nothing; it may wait for a node that is still to come, so it is a warning.
fn unmatched(context: &Context<'_>, job: &almanac_schemas::Job, place: &Place) -> Draft {
    let place = place.key("spec").key("nodeSelector");
    let name = &job.metadata.name;
    let message = format!("the selector of `{name}` matches no node, so it never runs");
    let labels = || context.whole_nodes().flat_map(|(node, _)| &node.metadata.labels);
    let wrong = job.spec.node_selector.iter().flatten().find(|entry| !labels().any(|label| label == *entry));
    let Some((key, value)) = wrong else {
        return Draft::new(Rule::UnmatchedSelector, place, message).help("no node has all of these labels");
    };
    let values = || labels().filter(|(other, _)| *other == key).map(|(_, value)| value.as_str());
    let keys = || labels().map(|(key, _)| key.as_str());
    let entry = place.key(key);
    let draft = |place: Place| Draft::new(Rule::UnmatchedSelector, place, message);
    // A fix that leaves the selector without a node would be none.
    let selects = |new: (&str, &str)| {
        let rest = || job.spec.node_selector.iter().flatten().filter(|(other, _)| *other != key);
        let has = |node: &almanac_schemas::Node, key: &str, value: &str| {
            node.metadata.labels.get(key).is_some_and(|label| label == value)
        };
        rest().all(|(other, _)| other != new.0)
            && context
                .whole_nodes()
                .any(|(node, _)| has(node, new.0, new.1) && rest().all(|(key, value)| has(node, key, value)))
    };
    if let Some(near) = nearest(value, values()) {
        let draft = draft(entry.clone())
            .help(format!("no node is labelled `{key}: {value}`; {}", did_you_mean(near)));
        let certain = slip(value, values()) == Some(near) && selects((key, near));
        return if certain { draft.fix(entry, value, near) } else { draft };
    }
    if let Some(near) = nearest(key, keys()) {
        let entry = entry.on_key();
        let draft =
            draft(entry.clone()).help(format!("no node has the label `{key}`; {}", did_you_mean(near)));
        let certain = slip(key, keys()) == Some(near) && selects((near, value));
        return if certain { draft.fix(entry, key, near) } else { draft };
    }
    draft(entry).help(format!("no node is labelled `{key}: {value}`"))
}
