//! One file: what can be said about it without the others.

use std::collections::BTreeSet;

use almanac_schemas::manifest::MAX_FILE;

use crate::{
    Entry, Finding, Fix, Location, Related, Rule,
    allow::{self, Allow},
    document::{self, Content, Document},
    places::{Positions, Remedy, Spot, hazard, may_hold_tags, oddities},
    syntax::{self, Flaw},
    text::{Text, readable},
    yaml::{self, Parsed},
};

/// One file, parsed. It depends on nothing but its path and content.
#[derive(Debug)]
pub struct Source {
    path: String,
    text: Text,
    documents: Vec<Document>,
    findings: Vec<Finding>,
    /// The warnings that comments silence.
    allows: Vec<Allow>,
    /// Whether everything that the file declares is known, at least by name.
    complete: bool,
}

impl Source {
    /// Reads a file, or whatever else has a path. It is never followed and nothing else is read.
    pub fn read(path: &str, entry: Entry<'_>) -> Self {
        let refuse = |rule: Rule, message: String, help: &str| Self {
            path: path.to_owned(),
            text: Text::new(String::new()),
            documents: Vec::new(),
            findings: vec![Finding {
                rule,
                severity: rule.severity(),
                message,
                location: Some(Location::whole_file(path)),
                related: Vec::new(),
                notes: Vec::new(),
                help: Some(help.to_owned()),
                fix: None,
                new: None,
            }],
            allows: Vec::new(),
            complete: false,
        };
        match entry {
            Entry::File(bytes) if bytes.len() <= MAX_FILE => Self::parse(path, bytes),
            Entry::File(bytes) => Self::read(path, Entry::TooLarge(bytes.len() as u64)),
            Entry::TooLarge(size) => refuse(
                Rule::FileTooLarge,
                format!("the file has {size} bytes, at most {MAX_FILE} are allowed"),
                "split it into several files: any number of them may hold manifests",
            ),
            Entry::Symlink => refuse(
                Rule::SymbolicLink,
                "this is a symbolic link, which is not followed".to_owned(),
                "put the file itself here, or list the link in `.almanacignore`",
            ),
            Entry::Submodule => refuse(
                Rule::Submodule,
                "this is a Git submodule, which is not followed".to_owned(),
                "put the manifests themselves here, or list the folder in `.almanacignore`",
            ),
            Entry::Special => refuse(
                Rule::SpecialFile,
                "this is not a regular file, and is not opened".to_owned(),
                "put a regular file here, or list it in `.almanacignore`",
            ),
            Entry::NotUtf8Name => refuse(
                Rule::FileName,
                "the name of the file is not UTF-8".to_owned(),
                "give it a name of letters, digits, `-` and `.`",
            ),
            Entry::ImpossibleName => refuse(
                Rule::FileName,
                "nothing can have this name in a folder, so no program that follows Git's rules has made this tree".to_owned(),
                "commit the files anew with `git`, and find out where this commit comes from",
            ),
        }
    }

    /// The path from the root of the tree, with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text, without a byte-order mark.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    fn parse(path: &str, bytes: &[u8]) -> Self {
        let (text, bad_bytes) = syntax::decode(bytes);
        let mut source = Self {
            path: path.to_owned(),
            text: Text::new(text),
            documents: Vec::new(),
            findings: Vec::new(),
            allows: Vec::new(),
            complete: true,
        };
        let flaws = source.read_documents(bad_bytes);
        source.findings.extend(flaws);
        source
    }

    /// Reads the documents, and returns what is wrong with them.
    fn read_documents(&mut self, bad_bytes: Option<Flaw>) -> Vec<Finding> {
        let text = self.text.as_str();
        if let Some(flaw) = bad_bytes.or_else(|| syntax::characters(text)) {
            self.complete = false;
            return vec![self.finding(flaw)];
        }
        if let Some(hazard) = hazard(text) {
            self.complete = false;
            return vec![self.finding(syntax::refused(&self.text, hazard))];
        }
        let (allows, flaws) = allow::read(text);
        let mut findings: Vec<_> = flaws.into_iter().map(|flaw| self.finding(flaw)).collect();
        if let Some(flaw) = syntax::version(text) {
            findings.push(self.finding(flaw));
        }
        let (parsed, errors) = yaml::documents(text);
        let odd: BTreeSet<usize> =
            parsed.iter().filter(|parsed| yaml::is_odd(&parsed.value)).map(|parsed| parsed.index).collect();
        let mut flawed = odd.clone();
        if !odd.is_empty() || may_hold_tags(text) {
            let oddities = oddities(text);
            flawed.extend(oddities.iter().map(|oddity| oddity.document));
            findings.extend(syntax::odd(&oddities, &odd).into_iter().map(|flaw| self.finding(flaw)));
        }
        if errors.is_empty()
            && flawed.is_empty()
            && let Some(documents) = document::all_right(parsed)
        {
            self.documents = documents;
            self.allows = allows;
            return findings;
        }
        // Once more, to find out what is wrong: the values are used up.
        let (parsed, errors) = yaml::documents(text);
        let read: Vec<_> = parsed
            .into_iter()
            .map(|Parsed { index, value }| {
                let value = if odd.contains(&index) { yaml::straightened(value) } else { value };
                let (mut document, problems) = document::read(index, value);
                if flawed.contains(&index) {
                    document.damage();
                }
                (document, problems)
            })
            .collect();
        self.complete = errors.is_empty();
        // Positions cost a second pass, so they are looked up when there is something to say.
        let mut positions = None;
        for error in errors {
            let positions = positions.get_or_insert_with(|| Positions::read(text));
            findings.extend(
                syntax::explain(&self.text, positions, &error).into_iter().map(|flaw| self.finding(flaw)),
            );
        }
        for (document, problems) in read {
            for problem in problems {
                let positions = positions.get_or_insert_with(|| Positions::read(text));
                let range = positions.range(&problem.spot).unwrap_or_default();
                let fix = problem.fix.and_then(|remedy| positions.patch(&problem.spot, remedy));
                let flaw = Flaw {
                    rule: problem.rule,
                    message: problem.message,
                    range,
                    related: None,
                    help: problem.help,
                    fix,
                };
                findings.push(self.finding(flaw));
            }
            self.complete &= !matches!(document.content, Content::Unknown);
            self.documents.push(document);
        }
        self.allows = allows;
        findings
    }

    pub(crate) fn finding(&self, flaw: Flaw) -> Finding {
        let related = flaw
            .related
            .map(|(message, range)| Related { message, location: self.text.location(&self.path, &range) });
        Finding {
            rule: flaw.rule,
            severity: flaw.rule.severity(),
            message: readable(flaw.message),
            location: Some(self.text.location(&self.path, &flaw.range)),
            related: related.into_iter().collect(),
            notes: Vec::new(),
            help: flaw.help.map(readable),
            fix: flaw.fix.map(|patch| self.text.fix(&self.path, patch)),
            new: None,
        }
    }

    pub(crate) fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn allows(&self) -> &[Allow] {
        &self.allows
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn lines(&self) -> &Text {
        &self.text
    }

    /// Where something of the file is.
    pub(crate) fn locate(&self, positions: &Positions<'_>, spot: &Spot) -> Location {
        let range = positions.range(spot).unwrap_or_default();
        self.text.location(&self.path, &range)
    }

    /// The change of something of the file, if it is safely possible.
    pub(crate) fn fix(&self, positions: &Positions<'_>, spot: &Spot, remedy: Remedy) -> Option<Fix> {
        Some(self.text.fix(&self.path, positions.patch(spot, remedy)?))
    }
}
