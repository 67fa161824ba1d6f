//! `trigger`: the condition of a job can be decided by what each of its nodes measures.

use almanac_schemas::{
    RunRole,
    node::NodeSpec,
    trigger::{Condition, Provider},
};

use super::{Context, Draft, single::Subject};
use crate::{Rule, suggest::nearest};

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    let Some(trigger) = &job.spec.trigger else { return };
    let place = place.key("spec").key("trigger");
    if trigger.wait.to_delta() >= job.spec.schedule.length.to_delta() {
        let message = format!(
            "a run waits {} for its trigger, and its length is {}",
            trigger.wait, job.spec.schedule.length
        );
        let draft = Draft::new(Rule::Trigger, place.key("wait"), message);
        drafts.push(draft.help("a run that starts late is over when its length is: wait for less than that"));
    }
    let condition = match Condition::parse(&trigger.when) {
        Ok(condition) => condition,
        Err(problem) => {
            let word = trigger.when.get(problem.at.clone()).unwrap_or_default();
            let word = word.rsplit('.').next().unwrap_or_default();
            let meant = nearest(word, problem.known.iter().map(String::as_str));
            let message = match meant {
                Some(meant) => format!("{} (did you mean `{meant}`?)", problem.message),
                None => problem.message,
            };
            let draft = Draft::new(Rule::Trigger, place.key("when").within(problem.at), message);
            drafts.push(match problem.help {
                Some(help) if meant.is_none() => draft.help(help),
                _ => draft,
            });
            return;
        }
    };
    let fields = condition.fields();
    for target in targets {
        // A trigger is of the job's own nodes, where its clients start.
        let node = target.node.filter(|_| target.role == RunRole::Client);
        let Some((node, node_place)) = node.and_then(|node| Some((node.manifest?, &node.place))) else {
            continue;
        };
        let measured = |provider: Provider| measures(&node.spec, provider);
        let Some(field) = fields.iter().find(|field| !measured(field.provider)) else { continue };
        let (name, provider) = (&node.metadata.name, field.provider);
        let message =
            format!("node `{name}` does not measure `{provider}`, so `{field}` is never known there");
        drafts.push(
            Draft::new(Rule::Trigger, place.key("when"), message)
                .related("the node is declared here", node_place.name())
                .help(format!(
                    "declare `telemetry: {{ {provider}: {{}} }}` in its manifest, or leave the node out"
                )),
        );
    }
}

/// Whether a node says that it measures something. What its machine is asked is not declared.
fn measures(node: &NodeSpec, provider: Provider) -> bool {
    let telemetry = node.telemetry.as_ref();
    match provider {
        Provider::Dish => telemetry.is_some_and(|telemetry| telemetry.dish.is_some()),
        Provider::Weather => telemetry.is_some_and(|telemetry| telemetry.weather.is_some()),
        Provider::Satellites => telemetry.is_some_and(|telemetry| telemetry.satellites.is_some()),
        Provider::Network | Provider::Host | Provider::Local => true,
    }
}
