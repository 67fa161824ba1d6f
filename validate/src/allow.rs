//! `# almanac: allow(rule) reason`: a comment that silences a warning in its document. An error cannot
//! be silenced, since what is wrong stays wrong.

use std::ops::Range;

use crate::{
    Finding, Rule, Severity, Source, UnknownRule,
    places::comments,
    rules::Draft,
    suggest::{closest, did_you_mean},
    syntax::Flaw,
    text::Patch,
};

/// What such a comment starts with.
const MARK: &str = "almanac:";

const FORM: &str = "write `# almanac: allow(RULE) why this is fine here`";

/// That warnings of a rule are fine in a document.
#[derive(Debug)]
pub(crate) struct Allow {
    document: usize,
    rule: Rule,
    /// The bytes of the rule's name.
    range: Range<usize>,
}

/// Reads the comments of a text that are meant for Almanac, and says what is wrong with them.
pub(crate) fn read(text: &str) -> (Vec<Allow>, Vec<Flaw>) {
    let mut allows = Vec::new();
    let mut flaws = Vec::new();
    if !text.contains(MARK) {
        return (allows, flaws);
    }
    for comment in comments(text) {
        let said = trimmed(text, comment.range);
        if text[said.clone()].starts_with(MARK) {
            let order = trimmed(text, said.start + MARK.len()..said.end);
            allows.extend(order_of(text, order, said, comment.document, &mut flaws));
        }
    }
    (allows, flaws)
}

/// Reads `allow(rule, rule) reason`, the part of a comment that is at `order`.
fn order_of(
    text: &str,
    order: Range<usize>,
    comment: Range<usize>,
    document: usize,
    flaws: &mut Vec<Flaw>,
) -> Vec<Allow> {
    let parts = text[order.clone()].strip_prefix("allow").map(str::trim_start);
    let Some((list, reason)) = parts.and_then(|rest| rest.strip_prefix('(')?.split_once(')')) else {
        flaws.push(flaw(comment, "this comment is not understood".to_owned(), FORM.to_owned()));
        return Vec::new();
    };
    if reason.trim().is_empty() {
        let help = "write after the parenthesis why this is fine here".to_owned();
        flaws.push(flaw(comment, "the comment gives no reason".to_owned(), help));
    }
    let mut start = order.end - reason.len() - 1 - list.len();
    let mut allows = Vec::new();
    for name in list.split(',') {
        let range = trimmed(text, start..start + name.len());
        start += name.len() + 1;
        let name = &text[range.clone()];
        match name.parse::<Rule>() {
            Ok(rule) if can_be_silenced(rule) => allows.push(Allow { document, rule, range }),
            known => flaws.push(no_such_warning(name, known, range)),
        }
    }
    allows
}

/// What is found about a name that is not that of a warning.
fn no_such_warning(name: &str, known: Result<Rule, UnknownRule>, range: Range<usize>) -> Flaw {
    match known {
        Err(_) if name.is_empty() => flaw(range, "the comment names no rule".to_owned(), FORM.to_owned()),
        Err(unknown) => {
            let help = match unknown.suggestion {
                Some(rule) => did_you_mean(rule.as_str()),
                None => "`almanac-validate explain` lists all rules".to_owned(),
            };
            let warnings = Rule::ALL.iter().filter(|rule| can_be_silenced(**rule));
            let meant = closest(name, warnings.map(|rule| rule.as_str()));
            let fix = meant.filter(|meant| unknown.suggestion.is_some_and(|rule| rule.as_str() == *meant));
            let fix = fix.map(|meant| Patch {
                message: format!("replace `{name}` with `{meant}`"),
                range: range.clone(),
                replacement: meant.to_owned(),
            });
            Flaw { fix, ..flaw(range, format!("there is no rule `{name}`"), help) }
        }
        Ok(Rule::AllowComment) => {
            let help = "correct the comment that it is about".to_owned();
            flaw(range, "`allow-comment` cannot be silenced".to_owned(), help)
        }
        Ok(rule) => {
            let help = "remove the comment, and correct what is found".to_owned();
            flaw(range, format!("`{rule}` is an error, and cannot be silenced"), help)
        }
    }
}

fn can_be_silenced(rule: Rule) -> bool {
    rule.severity() == Severity::Warning && rule != Rule::AllowComment
}

fn flaw(range: Range<usize>, message: String, help: String) -> Flaw {
    Flaw { rule: Rule::AllowComment, message, range, related: None, help: Some(help), fix: None }
}

/// A range without the white space at its ends.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.end - part.trim_start().len();
    start..start + part.trim().len()
}

/// The comments of all files, and which of them are good for something.
pub(crate) struct Allowances<'a> {
    sources: &'a [&'a Source],
    /// For each comment of each file, whether it silenced something.
    used: Vec<Vec<bool>>,
}

impl<'a> Allowances<'a> {
    pub(crate) fn new(sources: &'a [&'a Source]) -> Self {
        Self { sources, used: sources.iter().map(|source| vec![false; source.allows().len()]).collect() }
    }

    /// Whether a comment in the same document allows it.
    pub(crate) fn silences(&mut self, draft: &Draft) -> bool {
        let (file, document) = (draft.place.file, draft.place.spot.document);
        let mut silenced = false;
        for (allow, used) in self.sources[file].allows().iter().zip(&mut self.used[file]) {
            if (allow.rule, allow.document) == (draft.rule, document) {
                (silenced, *used) = (true, true);
            }
        }
        silenced
    }

    /// What is found about comments that silence nothing.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Finding> {
        self.sources.iter().zip(&self.used).flat_map(|(source, used)| {
            let idle = source.allows().iter().zip(used).filter(|(_, used)| !**used);
            idle.map(|(allow, _)| {
                let message = format!("nothing in this document breaks `{}`", allow.rule);
                let help = "remove the comment: it would hide what comes later".to_owned();
                source.finding(flaw(allow.range.clone(), message, help))
            })
        })
    }
}
