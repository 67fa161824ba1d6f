//! Which findings are new, compared with those of another tree.
//!
//! A finding stays the same one when lines move, when a file is renamed, and when the figures in its
//! message change: "123 times, first at ..." becomes "122 times" by itself as time goes by. So what
//! counts is the rule, the manifest and the field that it is about, and the names in its message.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use almanac_schemas::{Instant, Kind};

use crate::{Finding, Report, Rule, Source, places::Positions};

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    rule: Rule,
    subject: Subject,
    /// The names in its message, in the order of the alphabet: which of two jobs is named first
    /// depends on their files.
    names: Vec<String>,
}

/// Where a finding is, in terms that outlive a renaming.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// About things that its message names all, wherever it is shown.
    Names,
    /// In a manifest, with the way to the field.
    Manifest(Kind, String, Vec<String>),
    /// In a part of a file that is no manifest.
    File(String, Vec<String>),
    /// About the tree as a whole.
    Tree,
}

/// Marks which findings of a report are new compared with those of a base. When the base has a thing
/// twice and the tree three times, one is new.
pub fn mark(report: &mut Report, sources: &[Arc<Source>], base: &Report, base_sources: &[Arc<Source>]) {
    let renamed = renamed(sources, base_sources);
    let (mut old, mut exact) = (HashMap::<Identity, usize>::new(), HashMap::<_, usize>::new());
    let mut places = Places::new(base_sources, BTreeMap::new());
    for finding in &base.findings {
        let identity = places.identity(finding);
        *exact.entry((identity.clone(), finding.message.clone())).or_default() += 1;
        *old.entry(identity).or_default() += 1;
    }
    let mut places = Places::new(sources, renamed);
    let identities: Vec<Identity> = report.findings.iter().map(|finding| places.identity(finding)).collect();
    // Those that are the same to the letter first, so that of several alike the right ones are new.
    for (finding, identity) in report.findings.iter_mut().zip(&identities) {
        let same = exact.get_mut(&(identity.clone(), finding.message.clone())).filter(|left| **left > 0);
        finding.new = Some(same.is_none());
        if let Some(same) = same {
            *same -= 1;
            old.entry(identity.clone()).and_modify(|left| *left -= 1);
        }
    }
    for (finding, identity) in report.findings.iter_mut().zip(&identities) {
        if finding.new == Some(true)
            && let Some(left) = old.get_mut(identity).filter(|left| **left > 0)
        {
            *left -= 1;
            finding.new = Some(false);
        }
    }
}

/// Leaves out what is known not to be new.
pub fn only_new(report: &mut Report) {
    let before = report.findings.len();
    report.findings.retain(|finding| finding.new != Some(false));
    report.left_out += before - report.findings.len();
}

/// For files that moved as they are: their path in the base.
fn renamed<'a>(sources: &'a [Arc<Source>], base: &'a [Arc<Source>]) -> BTreeMap<&'a str, &'a str> {
    let paths = |sources: &'a [Arc<Source>]| -> BTreeMap<&'a str, &'a str> {
        sources.iter().map(|source| (source.path(), source.text())).collect()
    };
    let (here, there) = (paths(sources), paths(base));
    let gone = there.iter().filter(|(path, text)| !here.contains_key(*path) && !text.is_empty());
    let gone: BTreeMap<&str, &str> = gone.map(|(path, text)| (*text, *path)).collect();
    let come = here.iter().filter(|(path, _)| !there.contains_key(*path));
    come.filter_map(|(path, text)| Some((*path, *gone.get(text)?))).collect()
}

/// Leads from places to what is there.
struct Places<'a> {
    sources: BTreeMap<&'a str, &'a Source>,
    renamed: BTreeMap<&'a str, &'a str>,
    positions: BTreeMap<&'a str, Positions<'a>>,
}

impl<'a> Places<'a> {
    fn new(sources: &'a [Arc<Source>], renamed: BTreeMap<&'a str, &'a str>) -> Self {
        let sources = sources.iter().map(|source| (source.path(), source.as_ref())).collect();
        Self { sources, renamed, positions: BTreeMap::new() }
    }

    fn identity(&mut self, finding: &Finding) -> Identity {
        let subject = match finding.rule {
            // Between two things, and shown at the later of them.
            Rule::ScheduleConflict | Rule::PortConflict | Rule::DuplicateName | Rule::DuplicateKey => {
                Subject::Names
            }
            _ => self.subject(finding),
        };
        Identity { rule: finding.rule, subject, names: names(&finding.message) }
    }

    fn subject(&mut self, finding: &Finding) -> Subject {
        let Some(location) = &finding.location else { return Subject::Tree };
        let file = self.renamed.get(location.file.as_str()).copied().unwrap_or(&location.file);
        let Some((path, source)) = self.sources.get_key_value(location.file.as_str()) else {
            return Subject::File(file.to_owned(), Vec::new());
        };
        let positions = self.positions.entry(*path).or_insert_with(|| Positions::read(source.text()));
        let byte = source.lines().range(location).start;
        let Some((document, way)) = positions.way(byte) else {
            return Subject::File(file.to_owned(), Vec::new());
        };
        let way = way.into_iter().map(str::to_owned).collect();
        match source.documents().iter().find(|read| read.index == document).and_then(|read| read.name()) {
            Some((kind, name)) => Subject::Manifest(kind, name.to_owned(), way),
            None => Subject::File(file.to_owned(), way),
        }
    }
}

/// What stands in backticks, but for instants.
fn names(message: &str) -> Vec<String> {
    let quoted = message.split('`').skip(1).step_by(2);
    let mut names: Vec<String> =
        quoted.filter(|word| word.parse::<Instant>().is_err()).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, check};

    fn checked(files: &[(&str, &str)], now: &str) -> (Report, Vec<Arc<Source>>) {
        let source = |(path, text): &(&str, &str)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
        let sources: Vec<_> = files.iter().map(source).collect();
        (check(&sources, now.parse().unwrap()), sources)
    }

    /// Which findings of the second tree are new.
    fn new(base: &[(&str, &str)], tree: &[(&str, &str)]) -> Vec<String> {
        let (base, base_sources) = checked(base, "2026-11-24T00:00:00Z");
        let (mut report, sources) = checked(tree, "2026-12-24T00:00:00Z");
        mark(&mut report, &sources, &base, &base_sources);
        let new = report.findings.iter().filter(|finding| finding.new == Some(true));
        new.map(|finding| format!("{}: {}", finding.rule, finding.message)).collect()
    }

    const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: { teem: a }\n";

    #[test]
    fn lines_files_and_order_do_not_make_a_finding_new() {
        let moved = format!("# A comment.\n\n{USER}");
        assert_eq!(new(&[("a.yaml", USER)], &[("b.yaml", &moved)]), Vec::<String>::new());
        assert_eq!(new(&[], &[("b.yaml", &moved)]), ["unknown-field: unknown field `teem`"]);
        let renamed = USER.replace("alice", "bob");
        assert_eq!(new(&[("a.yaml", USER)], &[("a.yaml", &renamed)]).len(), 1);
        let other = USER.replace("teem", "colour");
        assert_eq!(new(&[("a.yaml", USER)], &[("a.yaml", &other)]).len(), 1);
    }

    #[test]
    fn what_is_no_manifest_is_known_by_its_file_and_by_its_text() {
        let broken = "a: [\n";
        assert_eq!(new(&[("a.yaml", broken)], &[("z.yaml", broken)]), Vec::<String>::new());
        assert_eq!(new(&[("a.yaml", broken)], &[("a.yaml", "b: [\n")]), Vec::<String>::new());
        assert_eq!(new(&[("a.yaml", broken)], &[("a.yaml", broken), ("b.yaml", broken)]).len(), 1);
    }

    fn job(name: &str, minute: u8) -> String {
        format!(
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: alice\n  nodes: [n]\n  \
             schedule: {{ cron: \"{minute} * * * *\", start: 2026-12-01T00:00:00Z, end: 2027-02-01T00:00:00Z, length: 2m }}\n  \
             container: {{ image: x }}\n"
        )
    }

    #[test]
    fn a_conflict_stays_the_same_as_time_goes_by_and_files_move() {
        let bed = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n---\n\
                   apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alice }\n";
        let (a, b, c) = (job("a", 0), job("b", 1), job("c", 3));
        let base = [("bed.yaml", bed), ("a.yaml", a.as_str()), ("b.yaml", b.as_str())];
        let (report, _) = checked(&base, "2026-11-24T00:00:00Z");
        let (later, _) = checked(&base, "2026-12-24T00:00:00Z");
        assert_ne!(report.findings[0].message, later.findings[0].message, "the figures differ");
        // The other of the two is the later one now, and a third one joins.
        let tree =
            [("bed.yaml", bed), ("z.yaml", a.as_str()), ("b.yaml", b.as_str()), ("zz.yaml", c.as_str())];
        let found = new(&base, &tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("schedule-conflict: `c` and `b`"), "{found:?}");
    }

    #[test]
    fn of_several_alike_as_many_are_new_as_there_are_more() {
        let keys = |number: usize| {
            let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmzdE2ixIkXasfftSYYWODMA5Kelp/rvvOIbAb06yzq a";
            USER.replace("teem: a", &format!("keys: [{}]", vec![key; number].join(", ")))
        };
        let (two, four) = (keys(2), keys(4));
        let found = new(&[("a.yaml", &two)], &[("a.yaml", &four)]);
        assert_eq!(found, vec!["duplicate-key: the user `alice` lists the same key twice"; 2]);
    }
}
