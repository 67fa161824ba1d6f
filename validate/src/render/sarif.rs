//! Findings as SARIF 2.1.0 (OASIS), for code scanning and for editors.
//!
//! What GitHub's code scanning does not take is left out: it refuses a file with more than 25,000
//! results, or a result with more than 1,000 locations. It shows a related place where the message
//! links to it.

use std::{borrow::Cow, collections::HashMap, fmt::Write, path::Path, sync::Arc};

use serde::Serialize;

use super::line_hash::line_hashes;
use crate::{Edit, Finding, Fix, Location, Report, Rule, Severity, Source, text::shortened};

/// How many results GitHub takes.
const MAX_RESULTS: usize = 25_000;
/// How many places of a result GitHub shows.
const MAX_RELATED: usize = 100;
/// How much of a text is shown, in characters.
const MAX_TEXT: usize = 4_000;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// What paths are relative to: the root of the repository, by the name that SARIF's readers know.
const SOURCE_ROOT: &str = "%SRCROOT%";

/// A report on some sources, as JSON of several lines. Paths are given below `root`, which is relative
/// to the root of the repository.
pub fn sarif(report: &Report, sources: &[Arc<Source>], root: &Path) -> String {
    let mut results = Results { root, sources: HashMap::new(), hashes: HashMap::new() };
    results.sources.extend(sources.iter().map(|source| (source.path(), source.as_ref())));
    // Errors count more, should there be too many.
    let (errors, warnings): (Vec<_>, Vec<_>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Error);
    let findings = errors.into_iter().chain(warnings).take(MAX_RESULTS);
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: Rule::ALL.iter().map(|rule| Descriptor::from(*rule)).collect(),
                },
            },
            invocations: [Invocation::new(report.findings.len().saturating_sub(MAX_RESULTS))],
            column_kind: "unicodeCodePoints",
            original_uri_base_ids: BaseIds {
                source_root: BaseId { description: "the root of the repository".into() },
            },
            results: findings.map(|finding| results.result(finding)).collect(),
        }],
    };
    let text = serde_json::to_string_pretty(&log);
    text.expect("texts, numbers and lists of them always have a JSON form") + "\n"
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    column_kind: &'static str,
    original_uri_base_ids: BaseIds,
    results: Vec<ResultEntry>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: Message,
    full_description: Message,
    help: Message,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
}

#[derive(Serialize)]
struct BaseIds {
    #[serde(rename = "%SRCROOT%")]
    source_root: BaseId,
}

#[derive(Serialize)]
struct BaseId {
    description: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultEntry {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Message,
    locations: Vec<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_fingerprints: Option<Fingerprints>,
    /// Whether the base has it, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<FixEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FixEntry {
    description: Message,
    artifact_changes: Vec<ArtifactChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactChange {
    artifact_location: ArtifactLocation,
    replacements: [Replacement; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    deleted_region: Region,
    inserted_content: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprints {
    primary_location_line_hash: String,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    physical_location: PhysicalLocation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactLocation {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

impl From<&Location> for Region {
    fn from(location: &Location) -> Self {
        Self {
            start_line: location.line,
            start_column: location.column,
            end_line: location.end_line,
            end_column: location.end_column,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl From<Rule> for Descriptor {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.as_str(),
            short_description: rule.summary().into(),
            full_description: rule.summary().into(),
            help: Message { text: rule.page().to_owned() },
            default_configuration: Configuration { level: rule.severity().as_str() },
        }
    }
}

impl Invocation {
    fn new(left_out: usize) -> Self {
        let notification = Notification {
            level: "warning",
            message: Message { text: format!("{left_out} further findings are left out") },
        };
        let notifications = (left_out > 0).then_some(notification);
        Self { execution_successful: true, tool_execution_notifications: notifications.into_iter().collect() }
    }
}

/// Makes results of findings.
struct Results<'a> {
    root: &'a Path,
    sources: HashMap<&'a str, &'a Source>,
    /// The hashes of the lines of those files that have findings.
    hashes: HashMap<&'a str, Vec<String>>,
}

impl<'a> Results<'a> {
    fn result(&mut self, finding: &'a Finding) -> ResultEntry {
        let mut text = escaped(&finding.message).into_owned();
        let mut related_locations = Vec::new();
        for (index, related) in finding.related.iter().take(MAX_RELATED).enumerate() {
            let message = shortened(&related.message, MAX_TEXT);
            // Writing to a string does not fail.
            let _ = write!(text, "\n[{}]({index})", message.replace('[', "\\[").replace(']', "\\]"));
            related_locations.push(Place {
                id: Some(index),
                message: Some(Message { text: message.into_owned() }),
                physical_location: self.place(&related.location),
            });
        }
        for note in &finding.notes {
            let _ = write!(text, "\nnote: {}", escaped(note));
        }
        if let Some(help) = &finding.help {
            let _ = write!(text, "\nhelp: {}", escaped(help));
        }
        // Code scanning wants a place: what is about the tree as a whole is about its folder.
        let location = finding.location.clone().unwrap_or_else(|| Location::whole_file(""));
        let hash = finding.location.as_ref().and_then(|location| self.hash(location));
        ResultEntry {
            rule_id: finding.rule.as_str(),
            rule_index: Rule::ALL.iter().position(|rule| *rule == finding.rule).unwrap_or_default(),
            level: finding.severity.as_str(),
            message: Message { text },
            locations: vec![Place { id: None, message: None, physical_location: self.place(&location) }],
            related_locations,
            partial_fingerprints: hash.map(|hash| Fingerprints { primary_location_line_hash: hash }),
            baseline_state: finding.new.map(|new| if new { "new" } else { "unchanged" }),
            fixes: finding.fix.iter().map(|fix| self.fix(fix)).collect(),
        }
    }

    fn fix(&self, fix: &Fix) -> FixEntry {
        let change = |edit: &Edit| ArtifactChange {
            artifact_location: self.artifact(&edit.location.file),
            replacements: [Replacement {
                deleted_region: (&edit.location).into(),
                inserted_content: edit.replacement.as_str().into(),
            }],
        };
        FixEntry {
            description: fix.message.as_str().into(),
            artifact_changes: fix.edits.iter().map(change).collect(),
        }
    }

    /// The hash of a place's first line, of what was read. A link, say, was not.
    fn hash(&mut self, location: &'a Location) -> Option<String> {
        let source = *self.sources.get(location.file.as_str()).filter(|source| !source.text().is_empty())?;
        let hashes = self.hashes.entry(source.path()).or_insert_with(|| line_hashes(source.text()));
        hashes.get(location.line.saturating_sub(1) as usize).cloned()
    }

    fn place(&self, location: &Location) -> PhysicalLocation {
        PhysicalLocation { artifact_location: self.artifact(&location.file), region: location.into() }
    }

    fn artifact(&self, file: &str) -> ArtifactLocation {
        let path = self.root.join(file);
        let path = encoded(&path.to_string_lossy());
        if self.root.is_absolute() {
            return ArtifactLocation { uri: format!("file://{path}"), uri_base_id: None };
        }
        let uri = if path.is_empty() { ".".to_owned() } else { path };
        ArtifactLocation { uri, uri_base_id: Some(SOURCE_ROOT) }
    }
}

/// A text in which nothing is taken for a link: brackets are escaped where one might be.
fn escaped(text: &str) -> Cow<'_, str> {
    let text = shortened(text, MAX_TEXT);
    if text.contains("](") {
        return Cow::Owned(text.replace('[', "\\[").replace(']', "\\]"));
    }
    text
}

/// A path as a reference of RFC 3986: all but unreserved characters and `/` are percent-encoded.
fn encoded(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into());
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_percent_encoded() {
        assert_eq!(encoded("jobs/a-b_c.d~e/1.yaml"), "jobs/a-b_c.d~e/1.yaml");
        assert_eq!(encoded("a b%:#?é\n.yaml"), "a%20b%25%3A%23%3F%C3%A9%0A.yaml");
    }

    #[test]
    fn links_are_escaped() {
        assert_eq!(escaped("`cpus` in [0.1, 64]"), "`cpus` in [0.1, 64]");
        assert_eq!(escaped("unknown value `[x](http://e)`"), "unknown value `\\[x\\](http://e)`");
    }
}
