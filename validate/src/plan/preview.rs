//! What a plan means for those who share the testbed.

use std::collections::BTreeSet;

use almanac_schemas::{JobName, JobSpec, Kind, NodeName};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Action, Change, Edit, FieldChange, Load, NodeTime, Plan, Shortened, Transition, instants, load::Times,
    retention::shortened,
};
use crate::{Declared, Key, NodeEntry};

/// How many coming instants of a job are shown.
const NEXT: usize = 3;

/// A change of a testbed with what follows from it.
#[derive(Debug)]
pub struct Preview<'a> {
    /// The change.
    pub plan: Plan<'a>,
    /// The fields that change of users, nodes, jobs and the settings that are another, in this order.
    pub renewed: Vec<Renewed<'a>>,
    /// The jobs that come, change or go.
    pub jobs: Vec<JobPreview<'a>>,
    /// Jobs that are as they were and yet run elsewhere, since nodes have come, gone or other labels.
    pub moved: Vec<Moved<'a>>,
    /// The time of every node that is touched.
    pub times: Vec<NodeTime<'a>>,
    /// What files of runs are kept for less time.
    pub shortened: Vec<Shortened<'a>>,
    /// What cannot be compared, since it has errors on one of the sides.
    pub incomparable: Vec<Incomparable>,
}

/// Something that becomes another.
#[derive(Debug)]
pub struct Renewed<'a> {
    /// Of what kind.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// What changes, never nothing.
    pub fields: Vec<FieldChange>,
}

/// What becomes of a job.
#[derive(Debug)]
pub struct JobPreview<'a> {
    /// Its name.
    pub name: &'a JobName,
    /// What becomes of it.
    pub edit: Edit<'a, JobSpec>,
    /// The nodes that its clients run on, as it is or was last.
    pub nodes: Vec<&'a NodeName>,
    /// Its load before; absent when it was not there.
    pub before: Option<Load>,
    /// Its load after; absent when it is not there any more.
    pub after: Option<Load>,
    /// Its next instants.
    pub next: Vec<DateTime<Utc>>,
    /// When clocks are set within its window.
    pub transitions: Vec<Transition>,
}

/// A job that runs elsewhere though it is as it was.
#[derive(Debug)]
pub struct Moved<'a> {
    /// The job.
    pub job: &'a JobName,
    /// Where it runs now.
    pub gained: Vec<&'a NodeName>,
    /// Where it does not run any more.
    pub lost: Vec<&'a NodeName>,
}

/// Something that cannot be compared.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incomparable {
    /// What: a manifest, or the path of a file with something that is not even known by name.
    pub what: Result<Key, String>,
    /// Whether it is the base that cannot be read.
    pub in_base: bool,
}

impl<'a> Preview<'a> {
    /// What turns one tree into another, as far as both can be read.
    pub fn between(base: &'a Declared, tree: &'a Declared, now: DateTime<Utc>) -> Self {
        let (from, to) = (&base.testbed, &tree.testbed);
        let mut plan = Plan::between(from, to);
        let damaged = |key: &Key| base.damaged.contains_key(key) || tree.damaged.contains_key(key);
        plan.retain(|kind, name| !damaged(&(kind, name.to_owned())));

        let jobs = plan.jobs.iter().map(|change| {
            let (before, after) = (change.edit.before(), change.edit.after());
            let schedule = after.and_then(|spec| spec.schedule.resolve().ok());
            let last = after.map(|spec| (to, spec)).or(before.map(|spec| (from, spec)));
            JobPreview {
                name: change.name,
                edit: change.edit,
                nodes: last.map(|(testbed, spec)| testbed.clients(spec).collect()).unwrap_or_default(),
                before: before.and_then(|spec| Load::of(from, spec, now)),
                after: after.and_then(|spec| Load::of(to, spec, now)),
                next: schedule.iter().flat_map(|schedule| instants::next(schedule, now, NEXT)).collect(),
                transitions: schedule.iter().flat_map(|it| Transition::within(it, now)).collect(),
            }
        });
        let jobs = jobs.collect();
        let moved = moved(base, tree, &plan);

        let nodes = touched(base, tree, &plan, &moved);
        let mut times = Times::new(now);
        let (before, after) = (times.shares(from, &nodes), times.shares(to, &nodes));
        let time = |node: &&'a NodeName| NodeTime {
            node,
            before: before.get(*node).copied(),
            after: after.get(*node).copied(),
        };
        let times = nodes.iter().map(time).collect();
        let incomparable = incomparable(base, tree);
        let shortened = shortened(from, to, &plan);
        Self { renewed: renewed(&plan), plan, jobs, moved, times, shortened, incomparable }
    }

    /// Whether the tree says the same as the base, as far as that is known.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.incomparable.is_empty()
    }

    /// What turns a thing into another, when it changes.
    pub fn fields(&self, kind: Kind, name: &str) -> &[FieldChange] {
        let found = self.renewed.iter().find(|renewed| renewed.kind == kind && renewed.name == name);
        found.map_or(&[], |renewed| &renewed.fields)
    }
}

/// What becomes another, field by field.
pub(crate) fn renewed<'a>(plan: &Plan<'a>) -> Vec<Renewed<'a>> {
    let plain = |spec: Value| json!({ "spec": spec });
    let users = plan.users.iter().filter_map(|user| {
        fields(user, |spec| plain(json!(spec))).map(|fields| Renewed {
            kind: Kind::User,
            name: user.name.as_str(),
            fields,
        })
    });
    let nodes = plan.nodes.iter().filter_map(|node| {
        fields(node, |NodeEntry { labels, spec }| json!({ "metadata": { "labels": labels }, "spec": spec }))
            .map(|fields| Renewed { kind: Kind::Node, name: node.name.as_str(), fields })
    });
    let jobs = plan.jobs.iter().filter_map(|job| {
        fields(job, |spec| plain(json!(spec))).map(|fields| Renewed {
            kind: Kind::Job,
            name: job.name.as_str(),
            fields,
        })
    });
    let config = plan.config.map(|(before, after)| Renewed {
        kind: Kind::Config,
        name: crate::declared::CONFIG,
        fields: FieldChange::between(&plain(json!(before)), &plain(json!(after))),
    });
    users.chain(nodes).chain(jobs).chain(config).collect()
}

fn fields<N, S>(change: &Change<'_, N, S>, json: impl Fn(&S) -> Value) -> Option<Vec<FieldChange>> {
    match change.edit {
        Edit::Changed(before, after) => Some(FieldChange::between(&json(before), &json(after))),
        Edit::Added(_) | Edit::Removed(_) => None,
    }
}

fn moved<'a>(base: &'a Declared, tree: &'a Declared, plan: &Plan<'a>) -> Vec<Moved<'a>> {
    let changed: BTreeSet<&JobName> = plan.jobs.iter().map(|change| change.name).collect();
    let same = tree.testbed.jobs.iter().filter(|(job, _)| !changed.contains(job));
    let moved = same.filter_map(|(job, spec)| {
        let before: BTreeSet<_> = base.testbed.clients(base.testbed.jobs.get(job)?).collect();
        let after: BTreeSet<_> = tree.testbed.clients(spec).collect();
        let gained = after.difference(&before).copied().collect();
        let lost = before.difference(&after).copied().collect();
        (before != after).then_some(Moved { job, gained, lost })
    });
    moved.collect()
}

/// The nodes whose time may change: those that change, and those where something runs that does.
fn touched<'a>(
    base: &'a Declared,
    tree: &'a Declared,
    plan: &Plan<'a>,
    moved: &[Moved<'a>],
) -> Vec<&'a NodeName> {
    let jobs: BTreeSet<&JobName> = plan.jobs.iter().map(|change| change.name).collect();
    let mut nodes: BTreeSet<&NodeName> = plan.nodes.iter().map(|change| change.name).collect();
    for testbed in [&base.testbed, &tree.testbed] {
        let concerned = testbed.assignments().filter(|assignment| jobs.contains(assignment.job));
        nodes.extend(concerned.map(|assignment| assignment.node));
    }
    nodes.extend(moved.iter().flat_map(|moved| moved.gained.iter().chain(&moved.lost)));
    nodes.retain(|node| base.testbed.nodes.contains_key(*node) || tree.testbed.nodes.contains_key(*node));
    nodes.into_iter().collect()
}

/// What has errors on one side and is another on the other, or is not known at all.
fn incomparable(base: &Declared, tree: &Declared) -> Vec<Incomparable> {
    let mut all = BTreeSet::new();
    for (side, other, in_base) in [(base, tree, true), (tree, base, false)] {
        let damaged = side.damaged.iter().filter(|(key, values)| other.damaged.get(*key) != Some(*values));
        all.extend(damaged.map(|(key, _)| Incomparable { what: Ok(key.clone()), in_base }));
        let files = side.unreadable.iter().filter(|(path, text)| other.unreadable.get(*path) != Some(*text));
        all.extend(files.map(|(path, _)| Incomparable { what: Err(path.clone()), in_base }));
    }
    all.into_iter().collect()
}

impl JobPreview<'_> {
    /// What it does, as it is or was last.
    pub fn spec(&self) -> &JobSpec {
        match self.edit {
            Edit::Added(spec) | Edit::Removed(spec) | Edit::Changed(_, spec) => spec,
        }
    }

    /// What becomes of it.
    pub fn action(&self) -> Action {
        self.edit.action()
    }
}
