//! Findings for programs: a stable format. Fields are added to it, and none is taken away or changes
//! its meaning. Its JSON Schema is `schemas/json/findings.json`.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;

use crate::{Finding, Fix, Location, Report, Severity};

/// What `almanac-validate check --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Almanac findings")]
pub struct Document {
    /// Everything that is wrong, by file, line, column and rule.
    findings: Vec<FindingEntry>,
    /// How much there is.
    summary: Summary,
}

/// Something that is wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Finding")]
pub(super) struct FindingEntry {
    /// The rule that found it, such as `schedule-conflict`.
    rule: &'static str,
    /// How bad it is.
    severity: SeverityWord,
    /// What is wrong, in one line.
    message: String,
    #[serde(flatten)]
    place: Place,
    /// Other places that one has to see to understand it.
    related: Vec<RelatedEntry>,
    /// What one has to know to understand it, one fact each.
    notes: Vec<String>,
    /// What would make it go away.
    help: Option<String>,
    /// The change that makes it go away, where there is one that is certainly meant; `almanac-validate
    /// check --fix` carries it out.
    fix: Option<FixEntry>,
    /// Whether the base that the tree was compared with has it not. Absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<bool>,
}

/// How bad a finding is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Severity")]
enum SeverityWord {
    /// The tree cannot be used.
    Error,
    /// The tree can be used, and yet this is probably not what is meant.
    Warning,
}

/// A place in a file, or nothing but null when a finding is about the tree as a whole. Lines and
/// columns count from 1, columns in characters; the end is exclusive. A finding about a file as a
/// whole has the empty range at 1:1.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Place {
    /// The file's path from the root of the tree, with `/`.
    file: Option<String>,
    /// The line of the first character.
    line: Option<u32>,
    /// The column of the first character.
    column: Option<u32>,
    /// The line of the first character after the range.
    end_line: Option<u32>,
    /// The column of the first character after the range.
    end_column: Option<u32>,
}

/// Another place that has to do with a finding.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Related")]
struct RelatedEntry {
    /// What is there.
    message: String,
    #[serde(flatten)]
    place: Place,
}

/// A change of files that makes a finding go away.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Fix")]
struct FixEntry {
    /// What is done, in one line.
    message: String,
    /// The edits, which belong together.
    edits: Vec<EditEntry>,
}

/// A range of a file that is replaced.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Edit")]
struct EditEntry {
    #[serde(flatten)]
    place: Place,
    /// What comes in its place.
    replacement: String,
}

/// How much there is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// How many files were checked.
    files: usize,
    /// How many findings are errors.
    errors: usize,
    /// How many findings are warnings.
    warnings: usize,
    /// How many warnings are left out because a comment in the manifest allows them.
    silenced: usize,
    /// How many findings are new, when there was a base to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<usize>,
    /// How many findings of the base were left out, when only new ones were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<usize>,
}

/// A report on so many files, as JSON of several lines.
pub fn json(report: &Report, files: usize) -> String {
    let document = Document {
        findings: report.findings.iter().map(FindingEntry::from).collect(),
        summary: Summary {
            files,
            errors: report.count(Severity::Error),
            warnings: report.count(Severity::Warning),
            silenced: report.silenced,
            new: report.count_new(),
            left_out: Some(report.left_out).filter(|count| *count > 0),
        },
    };
    let text = serde_json::to_string_pretty(&document);
    text.expect("texts, numbers and lists of them always have a JSON form") + "\n"
}

/// The format's JSON Schema (draft 2020-12), as it is checked in.
pub fn schema() -> String {
    let schema: Schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    format!("{:#}\n", schema.as_value())
}

impl From<&Finding> for FindingEntry {
    fn from(finding: &Finding) -> Self {
        let related = finding.related.iter().map(|related| RelatedEntry {
            message: related.message.clone(),
            place: Place::new(Some(&related.location)),
        });
        Self {
            rule: finding.rule.as_str(),
            severity: match finding.severity {
                Severity::Error => SeverityWord::Error,
                Severity::Warning => SeverityWord::Warning,
            },
            message: finding.message.clone(),
            place: Place::new(finding.location.as_ref()),
            related: related.collect(),
            notes: finding.notes.clone(),
            help: finding.help.clone(),
            fix: finding.fix.as_ref().map(FixEntry::from),
            new: finding.new,
        }
    }
}

impl From<&Fix> for FixEntry {
    fn from(fix: &Fix) -> Self {
        let edits = fix.edits.iter().map(|edit| EditEntry {
            place: Place::new(Some(&edit.location)),
            replacement: edit.replacement.clone(),
        });
        Self { message: fix.message.clone(), edits: edits.collect() }
    }
}

impl Place {
    fn new(location: Option<&Location>) -> Self {
        Self {
            file: location.map(|location| location.file.clone()),
            line: location.map(|location| location.line),
            column: location.map(|location| location.column),
            end_line: location.map(|location| location.end_line),
            end_column: location.map(|location| location.end_column),
        }
    }
}
