//! `environment`: variables have names that every shell accepts, and none of Almanac's own.
//! `artifacts-path`: the folder of artifacts is a place of its own in the container.

use almanac_schemas::{Job, container::Container};

use super::{Context, Draft, Place, single::Subject};
use crate::Rule;

/// Variables that start with this are set by the agent.
const RESERVED: &str = "ALMANAC_";

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, .. } = subject;
    let spec = place.key("spec");
    environment(&job.spec.container, &spec.key("container"), drafts);
    if let Some(server) = &job.spec.server {
        environment(&server.container, &spec.key("server").key("container"), drafts);
    }
    drafts.extend(artifacts(job, &spec));
}

fn environment(container: &Container, place: &Place, drafts: &mut Vec<Draft>) {
    for (name, value) in &container.env {
        let place = place.key("env").key(name);
        let letter = |c: char| c == '_' || c.is_ascii_alphabetic();
        let well_formed = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
        if !well_formed {
            let message = format!("`{}` is not the name of an environment variable", name.escape_debug());
            let help = "use letters, digits and `_`, and start with a letter or `_`";
            drafts.push(Draft::new(Rule::Environment, place.on_key(), message).help(help));
        } else if name.starts_with(RESERVED) {
            let message = format!("the environment variable `{name}` is reserved");
            let help = format!("names that start with `{RESERVED}` are set by the agent: choose another");
            drafts.push(Draft::new(Rule::Environment, place.on_key(), message).help(help));
        } else if value.contains('\0') {
            let message = format!("the value of `{name}` contains a NUL character");
            drafts.push(
                Draft::new(Rule::Environment, place, message).help("no process can be given that: remove it"),
            );
        }
    }
}

fn artifacts(job: &Job, spec: &Place) -> Option<Draft> {
    let path = job.spec.artifacts.path.as_str();
    let parts = || path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let message = if !path.starts_with('/') {
        format!("the path `{path}` is not absolute")
    } else if parts().any(|part| part == "..") {
        format!("the path `{path}` contains `..`")
    } else if parts().next().is_none() {
        "the root of the container cannot be its folder of artifacts".to_owned()
    } else if parts().next() == Some("almanac") {
        format!("the path `{path}` is within `/almanac`, which belongs to the agent")
    } else if path.contains(['\0', ':']) {
        format!("the path `{}` contains a character that cannot be mounted", path.escape_debug())
    } else {
        return None;
    };
    let place = spec.key("artifacts").key("path");
    Some(Draft::new(Rule::ArtifactsPath, place, message).help("write, for example, `path: /artifacts`"))
}
