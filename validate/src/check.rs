//! The check of a whole tree: the findings of each file, and those that need all files together.

use std::{cell::OnceCell, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    Finding, Moved, Related, Severity, Source, Testbed,
    allow::Allowances,
    flood,
    places::Positions,
    rules::{self, Context, Draft, Known, Place},
    text::readable,
};

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Everything that is wrong, by file, line, column and rule.
    pub findings: Vec<Finding>,
    /// Whether the tree can be used: no finding is an error, none that is left out either.
    pub sound: bool,
    /// How many warnings are not among the findings, because a comment in the manifest allows them.
    pub silenced: usize,
    /// How many findings were there before, and are left out.
    pub left_out: usize,
    /// What is declared, if the check found no error. Use [`Self::testbed`]: more may be found by others.
    pub declared: Option<Arc<Testbed>>,
}

impl Report {
    /// How many findings are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// What is declared; nothing when it cannot be used.
    pub fn testbed(&self) -> Option<&Arc<Testbed>> {
        self.declared.as_ref().filter(|_| self.sound)
    }

    /// Adds findings of something that is not part of the tree itself, such as whose change it is.
    pub fn add(&mut self, findings: Vec<Finding>) {
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            self.sound = false;
        }
        self.findings.extend(findings);
        sort(&mut self.findings);
    }

    /// How many findings are new; absent when there is nothing to compare with.
    pub fn count_new(&self) -> Option<usize> {
        let known: Vec<bool> = self.findings.iter().filter_map(|finding| finding.new).collect();
        (!known.is_empty()).then(|| known.into_iter().filter(|new| *new).count())
    }
}

/// Checks a tree. Only instants from `now` on count. The order of the sources does not matter.
pub fn check(sources: &[Arc<Source>], now: DateTime<Utc>) -> Report {
    check_change(sources, &[], now)
}

/// Checks a tree as a change of another one: of two jobs in each other's way, it is the one that the change
/// brings or moves that is told to make room. What is found is the same.
pub fn check_change(sources: &[Arc<Source>], base: &[Arc<Source>], now: DateTime<Utc>) -> Report {
    let sources = sorted(sources);
    let context = Context::new(&sources, now).since(&Context::new(&sorted(base), now));
    report(&sources, &context, &mut Known::default())
}

/// Checks one tree after another, such as the commits of a branch. What is found is what [`check`] finds;
/// jobs that stay as they are are not looked at again, nor compared with each other.
#[derive(Debug, Default)]
pub struct Checker {
    known: Known,
}

impl Checker {
    /// Checks the next tree.
    pub fn check(&mut self, sources: &[Arc<Source>], now: DateTime<Utc>) -> Report {
        self.check_with(sources, &[], now)
    }

    /// The same, where some runs take place at another time than the one that is declared: what is in their way is a
    /// finding, too.
    pub fn check_with(&mut self, sources: &[Arc<Source>], moved: &[Moved], now: DateTime<Utc>) -> Report {
        let sources = sorted(sources);
        report(&sources, &Context::new(&sources, now).with_moved(moved), &mut self.known)
    }
}

fn report(sources: &[&Source], context: &Context<'_>, known: &mut Known) -> Report {
    let locator = Locator { positions: sources.iter().map(|_| OnceCell::new()).collect(), sources };

    let mut findings: Vec<Finding> = sources.iter().flat_map(|source| source.findings()).cloned().collect();
    let mut allowances = Allowances::new(sources);
    let mut silenced = 0;
    for draft in rules::check(context, known) {
        if allowances.silences(&draft) {
            silenced += 1;
        } else {
            findings.push(locator.finding(draft));
        }
    }
    let sound = findings.iter().all(|finding| finding.severity != Severity::Error);
    // An error may keep from being seen what a comment is there for.
    if sound {
        findings.extend(allowances.idle());
    }
    sort(&mut findings);
    let findings = flood::bounded(findings);
    let declared = sound.then(|| Arc::new(context.testbed()));
    Report { findings, sound, silenced, left_out: 0, declared }
}

/// Sources in the order of their paths.
pub(crate) fn sorted(sources: &[Arc<Source>]) -> Vec<&Source> {
    let mut sources: Vec<&Source> = sources.iter().map(Arc::as_ref).collect();
    sources.sort_by_key(|source| source.path());
    sources
}

/// Brings findings into the order in which they are shown.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (&a.location, a.rule.as_str(), &a.message).cmp(&(&b.location, b.rule.as_str(), &b.message))
    });
}

/// Finds places in files, and parses a file for it when the first place in it is asked for.
struct Locator<'a> {
    sources: &'a [&'a Source],
    positions: Vec<OnceCell<Positions<'a>>>,
}

impl<'a> Locator<'a> {
    fn finding(&self, draft: Draft) -> Finding {
        let related = draft.related.into_iter();
        Finding {
            rule: draft.rule,
            severity: draft.rule.severity(),
            message: readable(draft.message),
            location: Some(self.location(&draft.place)),
            related: related
                .map(|(message, place)| Related {
                    message: readable(message),
                    location: self.location(&place),
                })
                .collect(),
            notes: draft.notes.into_iter().map(readable).collect(),
            help: draft.help.map(readable),
            fix: draft.fix.and_then(|(place, remedy)| {
                self.sources[place.file].fix(self.positions(place.file), &place.spot, remedy)
            }),
            new: None,
        }
    }

    fn location(&self, place: &Place) -> crate::Location {
        self.sources[place.file].locate(self.positions(place.file), &place.spot)
    }

    fn positions(&self, file: usize) -> &Positions<'a> {
        self.positions[file].get_or_init(|| Positions::read(self.sources[file].text()))
    }
}
