//! A plan for programs: a stable format. Fields are added to it, and none is taken away or changes its
//! meaning. Its JSON Schema is `schemas/json/plan.json`.

use almanac_schemas::{Instant, Kind};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::Value;

use super::Proposal;
use crate::{
    plan::{Action, FieldChange, JobPreview, Load, Transition},
    render::json::FindingEntry,
};

/// What `almanac-validate plan --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Almanac plan")]
struct Document {
    /// What the change starts from.
    base: String,
    /// What it leads to.
    tree: String,
    /// How much changes.
    summary: Summary,
    /// Whatever comes, changes or goes: users, nodes, jobs, and the settings last.
    changes: Vec<ChangeEntry>,
    /// The jobs among it, with what follows.
    jobs: Vec<JobEntry>,
    /// Jobs that are as they were and run elsewhere, since nodes have come, gone or other labels.
    moved: Vec<MovedEntry>,
    /// The time of the nodes that are touched.
    nodes: Vec<NodeEntry>,
    /// What could not be compared, and that the base has errors, in words.
    remarks: Vec<String>,
    /// What is wrong with the tree.
    findings: Vec<FindingEntry>,
}

/// How much changes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PlanSummary")]
struct Summary {
    /// How many things come.
    added: u32,
    /// How many become another.
    changed: u32,
    /// How many go.
    removed: u32,
    /// How many errors the base has.
    base_errors: usize,
}

/// What becomes of a thing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum ActionWord {
    /// It comes.
    Added,
    /// It becomes another.
    Changed,
    /// It goes.
    Removed,
}

/// A change of one thing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Change")]
struct ChangeEntry {
    /// `User`, `Node`, `Job` or `Config`.
    kind: &'static str,
    /// Its name.
    name: String,
    /// What becomes of it.
    action: ActionWord,
    /// The fields that change, when it becomes another.
    fields: Vec<FieldEntry>,
}

/// A field that changes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Field")]
struct FieldEntry {
    /// The way to it, such as `spec.nodes[1]`.
    path: String,
    /// What it was. Absent when it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// What it is. Absent when it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// A job that comes, changes or goes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Job")]
struct JobEntry {
    /// Its name.
    name: String,
    /// What becomes of it.
    action: ActionWord,
    /// Its owner.
    owner: String,
    /// The nodes that its clients run on.
    nodes: Vec<String>,
    /// How much of it runs before, or null.
    before: Option<LoadEntry>,
    /// How much of it runs after, or null.
    after: Option<LoadEntry>,
    /// Its next instants, at most three.
    next: Vec<String>,
    /// The time zone of its schedule.
    timezone: String,
    /// When clocks are set within its window.
    transitions: Vec<TransitionEntry>,
}

/// How much of a job runs, on average over the first four weeks that it runs in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Load")]
struct LoadEntry {
    /// Runs per day, those on several nodes each counted.
    runs_per_day: f64,
    /// Hours per week in which a node is taken, on all nodes together.
    node_hours_per_week: f64,
}

/// Clocks that are set, and what happens to the job's runs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Transition")]
struct TransitionEntry {
    /// When.
    at: String,
    /// By how many seconds: forward when positive.
    shift: i64,
    /// Runs that do not take place.
    skipped: u64,
    /// Runs that take place at the end of the gap.
    moved: u64,
    /// Runs that take place twice.
    repeated: u64,
}

/// A job that runs elsewhere though it is as it was.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Moved")]
struct MovedEntry {
    /// The job.
    job: String,
    /// Where it runs now.
    gained: Vec<String>,
    /// Where it does not run any more.
    lost: Vec<String>,
}

/// The share of a node's time that exclusive jobs reserve over four weeks from now, with its guard: 0 to 1, or null
/// when there is no such node.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NodeTime")]
struct NodeEntry {
    /// The node.
    node: String,
    /// Before.
    before: Option<f64>,
    /// After.
    after: Option<f64>,
}

/// A plan as JSON of several lines.
pub fn json(proposal: &Proposal<'_>) -> String {
    let preview = proposal.preview;
    let counts = preview.plan.counts();
    let changes = preview.plan.actions().map(|(kind, name, action)| ChangeEntry {
        kind: Kind::as_str(kind),
        name: name.to_owned(),
        action: ActionWord::from(action),
        fields: preview.fields(kind, name).iter().map(FieldEntry::from).collect(),
    });
    let texts = |names: &[&almanac_schemas::NodeName]| names.iter().map(ToString::to_string).collect();
    let document = Document {
        base: proposal.base.to_owned(),
        tree: proposal.tree.to_owned(),
        summary: Summary {
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
            base_errors: proposal.base_errors,
        },
        changes: changes.collect(),
        jobs: preview.jobs.iter().map(JobEntry::from).collect(),
        moved: preview
            .moved
            .iter()
            .map(|moved| MovedEntry {
                job: moved.job.to_string(),
                gained: texts(&moved.gained),
                lost: texts(&moved.lost),
            })
            .collect(),
        nodes: preview
            .times
            .iter()
            .map(|time| NodeEntry { node: time.node.to_string(), before: time.before, after: time.after })
            .collect(),
        remarks: proposal.remarks(),
        findings: proposal.report.findings.iter().map(FindingEntry::from).collect(),
    };
    let text = serde_json::to_string_pretty(&document);
    text.expect("texts, finite numbers and lists of them always have a JSON form") + "\n"
}

/// The format's JSON Schema (draft 2020-12), as it is checked in.
pub fn schema() -> String {
    let schema: Schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    format!("{:#}\n", schema.as_value())
}

impl From<Action> for ActionWord {
    fn from(action: Action) -> Self {
        match action {
            Action::Added => Self::Added,
            Action::Changed => Self::Changed,
            Action::Removed => Self::Removed,
        }
    }
}

impl From<&FieldChange> for FieldEntry {
    fn from(field: &FieldChange) -> Self {
        Self { path: field.name(), before: field.before.clone(), after: field.after.clone() }
    }
}

impl From<&JobPreview<'_>> for JobEntry {
    fn from(job: &JobPreview<'_>) -> Self {
        let load = |load: Load| LoadEntry {
            runs_per_day: load.runs_per_day,
            node_hours_per_week: load.node_hours_per_week,
        };
        Self {
            name: job.name.to_string(),
            action: ActionWord::from(job.action()),
            owner: job.spec().owner.to_string(),
            nodes: job.nodes.iter().map(ToString::to_string).collect(),
            before: job.before.map(load),
            after: job.after.map(load),
            next: job.next.iter().map(|at| Instant(*at).to_string()).collect(),
            timezone: job.spec().schedule.timezone.to_string(),
            transitions: job.transitions.iter().map(TransitionEntry::from).collect(),
        }
    }
}

impl From<&Transition> for TransitionEntry {
    fn from(transition: &Transition) -> Self {
        Self {
            at: Instant(transition.at).to_string(),
            shift: transition.shift.num_seconds(),
            skipped: transition.skipped,
            moved: transition.moved,
            repeated: transition.repeated,
        }
    }
}
