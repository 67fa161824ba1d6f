//! `duplicate-name`: each name is declared once. Users and nodes share one namespace, so that a
//! token's subject is never ambiguous; jobs have their own; there is one `Config` at most.

use std::collections::BTreeMap;

use almanac_schemas::Kind;

use super::{Context, Draft};
use crate::Rule;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Namespace<'a> {
    Principal(&'a str),
    Job(&'a str),
    Config,
}

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    if context.names_are_unique() {
        return;
    }
    let mut first = BTreeMap::new();
    for declaration in &context.declarations {
        let namespace = match declaration.kind {
            Kind::User | Kind::Node => Namespace::Principal(declaration.name),
            Kind::Job => Namespace::Job(declaration.name),
            Kind::Config => Namespace::Config,
        };
        let Some(earlier) = first.get(&namespace) else {
            first.insert(namespace, declaration);
            continue;
        };
        let (message, help) = match (earlier.kind, declaration.kind) {
            (_, Kind::Config) => {
                ("there is a second `Config`".to_owned(), "move its settings into the first one")
            }
            (a, b) if a == b => (
                format!("the {} `{}` is declared twice", word(b), declaration.name),
                "rename or remove one of them",
            ),
            (a, b) => (
                format!("the {} `{}` has the name of a {}", word(b), declaration.name, word(a)),
                "rename one of them: users and nodes share one namespace",
            ),
        };
        drafts.push(
            Draft::new(Rule::DuplicateName, declaration.place.name(), message)
                .related("first declared here", earlier.place.name())
                .help(help),
        );
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Node => "node",
        Kind::Job => "job",
        Kind::Config => "config",
    }
}
