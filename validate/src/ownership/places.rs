//! Where violations are.

use std::sync::Arc;

use almanac_schemas::manifest::PathStep;

use super::Violation;
use crate::{
    Finding, Location, Rule, Source,
    declared::key,
    places::{Focus, Positions, Spot},
    text::printable,
};

/// The violations as findings: at the field in the tree, or at the file of the base that held what is
/// gone.
pub fn findings(
    violations: Vec<Violation>,
    sources: &[Arc<Source>],
    base_sources: &[Arc<Source>],
) -> Vec<Finding> {
    let finding = |violation: Violation| Finding {
        rule: Rule::Ownership,
        severity: Rule::Ownership.severity(),
        location: location(&violation, sources, base_sources),
        message: printable(violation.message),
        related: Vec::new(),
        notes: Vec::new(),
        fix: None,
        help: Some(printable(violation.help)),
        // Whatever it is about has just been changed.
        new: Some(true),
    };
    let mut findings: Vec<_> = violations.into_iter().map(finding).collect();
    crate::check::sort(&mut findings);
    findings
}

fn location(
    violation: &Violation,
    sources: &[Arc<Source>],
    base_sources: &[Arc<Source>],
) -> Option<Location> {
    let wanted = match &violation.what {
        Ok(wanted) => wanted,
        Err(path) => return Some(Location::whole_file(path)),
    };
    let find = |sources: &[Arc<Source>]| {
        sources.iter().find_map(|source| {
            let mut documents = source.documents().iter();
            let document = documents
                .find(|document| document.name().is_some_and(|(kind, name)| key(kind, name) == *wanted))?;
            Some((Arc::clone(source), document.index))
        })
    };
    if let Some((source, document)) = find(sources) {
        let path = if violation.path.is_empty() {
            ["metadata", "name"].map(|key| PathStep::Key(key.to_owned())).to_vec()
        } else {
            violation.path.clone()
        };
        let spot = Spot { document, path, focus: Focus::Value };
        return Some(source.locate(&Positions::read(source.text()), &spot));
    }
    find(base_sources).map(|(source, _)| Location::whole_file(source.path()))
}
