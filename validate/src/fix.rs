//! Carrying out fixes. All of it happens in memory: whoever brought the files stores what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{Edit, Entry, Finding, Fix, Report, Source, check_change};

/// How often fixes are carried out and the tree is checked again. A fix may uncover something that has
/// one too; hardly anything takes more than three rounds.
const MAX_ROUNDS: usize = 10;

/// A tree after its fixes.
#[derive(Debug)]
pub struct Fixed {
    /// The files as they are now, in the order of their paths. One that no fix concerned is the one that was given.
    pub sources: Vec<Arc<Source>>,
    /// What is left.
    pub report: Report,
    /// The findings whose fixes were carried out, in that order, with the places at which they were found.
    pub findings: Vec<Finding>,
}

/// Checks a tree and carries out fixes, until there is none left, or they lead back to where they came from.
pub fn fix(sources: Vec<Arc<Source>>, now: DateTime<Utc>) -> Fixed {
    fix_change(sources, &[], now)
}

/// The same for a tree that is a change of another one: see [`check_change()`].
pub fn fix_change(sources: Vec<Arc<Source>>, base: &[Arc<Source>], now: DateTime<Utc>) -> Fixed {
    settle(sources, |sources| check_change(sources, base, now))
}

fn settle(mut sources: Vec<Arc<Source>>, check: impl Fn(&[Arc<Source>]) -> Report) -> Fixed {
    sources.sort_by(|a, b| a.path().cmp(b.path()));
    let mut findings = Vec::new();
    let mut report = check(&sources);
    let mut seen = BTreeSet::from([state(&sources)]);
    for _ in 0..MAX_ROUNDS {
        let (changed, carried_out) = round(&sources, &report);
        if carried_out.is_empty() || !seen.insert(state(&changed)) {
            break;
        }
        findings.extend(carried_out);
        sources = changed;
        report = check(&sources);
    }
    Fixed { sources, report, findings }
}

/// A text with non-overlapping edits made to it.
fn edited(text: &str, edits: &[&Edit]) -> String {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut output = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        output += &text[done..edit.range.start];
        output += &edit.replacement;
        done = edit.range.end;
    }
    output + &text[done..]
}

/// Carries out all fixes of a report that do not get into each other's way: of two that do, the first.
fn round(sources: &[Arc<Source>], report: &Report) -> (Vec<Arc<Source>>, Vec<Finding>) {
    let mut edits: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    let mut carried_out = Vec::new();
    for finding in &report.findings {
        let Some(fix) = finding.fix.as_ref().filter(|fix| fits(fix, &edits)) else { continue };
        for edit in &fix.edits {
            let known = edits.entry(&edit.location.file).or_default();
            if !known.contains(&edit) {
                known.push(edit);
            }
        }
        carried_out.push(finding.clone());
    }
    let changed = sources.iter().map(|source| match edits.get(source.path()) {
        Some(edits) => {
            let text = edited(source.text(), edits);
            Arc::new(Source::read(source.path(), Entry::File(text.as_bytes())))
        }
        None => Arc::clone(source),
    });
    (changed.collect(), carried_out)
}

/// Whether a fix leaves alone what others change, or changes it in the same way.
fn fits(fix: &Fix, others: &BTreeMap<&str, Vec<&Edit>>) -> bool {
    fix.edits.iter().all(|edit| {
        let known = others.get(edit.location.file.as_str()).into_iter().flatten();
        // Two insertions at one place touch, and which one comes first would be chance.
        known.into_iter().all(|other| {
            *other == edit || edit.range.end < other.range.start || other.range.end < edit.range.start
        })
    })
}

/// What tells a state of the tree from others. Only texts change.
fn state(sources: &[Arc<Source>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources.iter().for_each(|source| source.text().hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, Rule, Severity};

    fn finding(edits: &[(usize, usize, &str)]) -> Finding {
        let edit = |(start, end, new): &(usize, usize, &str)| Edit {
            location: Location::whole_file("a.yaml"),
            range: *start..*end,
            replacement: (*new).to_owned(),
        };
        let fix = Fix { message: String::new(), edits: edits.iter().map(edit).collect() };
        Finding {
            rule: Rule::Syntax,
            severity: Severity::Error,
            message: String::new(),
            location: None,
            related: Vec::new(),
            notes: Vec::new(),
            help: None,
            fix: Some(fix),
            new: None,
        }
    }

    fn after(findings: Vec<Finding>) -> (String, usize) {
        let source = Arc::new(Source::read("a.yaml", Entry::File(b"# 0123456789\n")));
        let (sources, carried_out) = round(&[source], &Report { findings, ..Report::default() });
        (sources[0].text().to_owned(), carried_out.len())
    }

    #[test]
    fn of_two_fixes_in_each_others_way_the_first_is_carried_out() {
        let (a, b, c) = (&[(3, 5, "X")], &[(4, 6, "Y"), (9, 10, "Z")], &[(11, 12, "")]);
        assert_eq!(after(vec![finding(a), finding(b), finding(c)]), ("# 0X345678\n".to_owned(), 2));
        assert_eq!(after(vec![finding(b), finding(a)]), ("# 01Y456Z89\n".to_owned(), 1));
    }

    #[test]
    fn the_same_edit_twice_is_made_once() {
        assert_eq!(
            after(vec![finding(&[(3, 5, "X")]), finding(&[(3, 5, "X")])]),
            ("# 0X3456789\n".to_owned(), 2)
        );
        assert_eq!(
            after(vec![finding(&[(3, 3, "X")]), finding(&[(3, 3, "Y")])]),
            ("# 0X123456789\n".to_owned(), 1)
        );
    }

    #[test]
    fn fixes_that_undo_each_other_end() {
        let source = Arc::new(Source::read("a.yaml", Entry::File(b"# X\n")));
        let fixed = settle(vec![source], |sources| {
            let other = if sources[0].text().contains('X') { "Y" } else { "X" };
            Report { findings: vec![finding(&[(2, 3, other)])], ..Report::default() }
        });
        assert_eq!((fixed.sources[0].text(), fixed.findings.len()), ("# Y\n", 1));

        let source = Arc::new(Source::read("a.yaml", Entry::File(b"# \n")));
        let fixed =
            settle(vec![source], |_| Report { findings: vec![finding(&[(2, 2, "X")])], ..Report::default() });
        assert_eq!(fixed.findings.len(), MAX_ROUNDS);
    }
}
