//! The judgement: which parts of a change its author may not make.

use std::collections::BTreeSet;

use almanac_schemas::{JobName, JobSpec, Kind, NodeName, UserName, UserRole, manifest::PathStep};

use super::{
    Author,
    table::{self, Field},
};
use crate::{
    Declared, Key, NodeEntry, Testbed,
    declared::CONFIG,
    plan::{Change, Edit, FieldChange, Plan, renewed},
    words::{listed, one_of},
};

/// A part of a change that its author may not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What is changed: a manifest, or a file with something that is not even known by name.
    pub what: Result<Key, String>,
    /// The way to the field.
    pub path: Vec<PathStep>,
    /// What is not allowed.
    pub message: String,
    /// Who may do it.
    pub help: String,
}

/// Which parts of the change from `base` to `tree` the author may not make. `rights` is what the branch
/// that the change goes to says by now: `base` is where the two parted, and may be older.
pub fn judge(author: &Author, rights: &Declared, base: &Declared, tree: &Declared) -> Vec<Violation> {
    if matches!(author, Author::Admin(_) | Author::Anybody) {
        return Vec::new();
    }
    let mut judge = Judge { author, rights, base, violations: Vec::new() };
    let mut plan = Plan::between(&base.testbed, &tree.testbed);
    let sides = [rights, base, tree];
    plan.retain(|kind, name| !sides.iter().any(|side| side.damaged.contains_key(&(kind, name.to_owned()))));
    let renewed = renewed(&plan);
    let fields = |kind: Kind, name: &str| -> &[FieldChange] {
        let found = renewed.iter().find(|renewed| renewed.kind == kind && renewed.name == name);
        found.map_or(&[], |renewed| &renewed.fields)
    };
    for change in &plan.users {
        judge.user(change.name, change.edit, fields(Kind::User, change.name.as_str()));
    }
    for change in &plan.nodes {
        judge.node(change, fields(Kind::Node, change.name.as_str()));
    }
    for change in &plan.jobs {
        judge.job(change, fields(Kind::Job, change.name.as_str()));
    }
    if plan.config.is_some() {
        let path = first(fields(Kind::Config, CONFIG));
        judge.refuse(Kind::Config, CONFIG, path, "change the settings", None);
    }
    judge.damaged(tree);
    judge.violations
}

struct Judge<'a> {
    author: &'a Author,
    rights: &'a Declared,
    base: &'a Declared,
    violations: Vec<Violation>,
}

/// Whose something is, seen from the author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side<'a> {
    Own,
    /// Somebody else's.
    Other(&'a UserName),
    /// Nobody's in particular, so admins'.
    Admins,
}

impl<'a> Judge<'a> {
    fn user<S>(&mut self, name: &'a UserName, edit: Edit<'a, S>, fields: &[FieldChange]) {
        let what = |verb: &str| format!("{verb} the user `{name}`");
        match edit {
            Edit::Added(_) => self.refuse(Kind::User, name.as_str(), Vec::new(), &what("add"), None),
            Edit::Removed(_) => self.refuse(Kind::User, name.as_str(), Vec::new(), &what("remove"), None),
            Edit::Changed(..) if self.is_author(name) => {
                self.fields(Kind::User, name.as_str(), table::USER, fields, "their own user");
            }
            Edit::Changed(..) => {
                self.refuse(Kind::User, name.as_str(), first(fields), &what("change"), None);
            }
        }
    }

    fn node(&mut self, change: &Change<'a, NodeName, NodeEntry>, fields: &[FieldChange]) {
        let name = change.name.as_str();
        match (change.edit, self.side(Kind::Node, name)) {
            (Edit::Added(_), _) => {
                self.refuse(Kind::Node, name, Vec::new(), &format!("add the node `{name}`"), None);
            }
            (Edit::Removed(_), _) => {
                self.refuse(Kind::Node, name, Vec::new(), &format!("remove the node `{name}`"), None);
            }
            (Edit::Changed(..), Side::Own) => {
                let whose = format!("the node `{name}`, though it is theirs");
                self.fields(Kind::Node, name, table::NODE, fields, &whose);
            }
            (Edit::Changed(..), Side::Other(owner)) => {
                let what = format!("change the node `{name}` of `{owner}`");
                self.refuse(Kind::Node, name, first(fields), &what, None);
            }
            (Edit::Changed(..), Side::Admins) => {
                self.refuse(Kind::Node, name, first(fields), &format!("change the node `{name}`"), None);
            }
        }
    }

    fn job(&mut self, change: &Change<'a, JobName, JobSpec>, fields: &[FieldChange]) {
        let name = change.name.as_str();
        let owner_field = || vec![PathStep::Key("spec".to_owned()), PathStep::Key("owner".to_owned())];
        let side = self.side(Kind::Job, name);
        match (change.edit, side) {
            // A name that the branch has given away by now is not free any more.
            (Edit::Added(_), Side::Other(owner)) => {
                let what = format!("change the job `{name}` of `{owner}`");
                self.refuse(Kind::Job, name, Vec::new(), &what, Some(owner));
            }
            (Edit::Added(spec), _) if self.is_author(&spec.owner) => {}
            (Edit::Added(spec), _) => {
                let what = format!("add the job `{name}` for `{}`", spec.owner);
                let owner = Some(&spec.owner).filter(|owner| self.rights.testbed.users.contains_key(*owner));
                self.refuse(Kind::Job, name, owner_field(), &what, owner);
            }
            (Edit::Removed(_), Side::Own) => {}
            (Edit::Removed(before), _) => {
                let owner = other(side).unwrap_or(&before.owner);
                let what = format!("remove the job `{name}` of `{owner}`");
                self.refuse(Kind::Job, name, Vec::new(), &what, Some(owner));
            }
            (Edit::Changed(_, after), Side::Own) if self.is_author(&after.owner) => {}
            (Edit::Changed(_, after), Side::Own) => {
                let what = format!("give their job `{name}` to `{}`", after.owner);
                self.refuse(Kind::Job, name, owner_field(), &what, None);
            }
            (Edit::Changed(before, after), _) => {
                let owner = other(side).unwrap_or(&before.owner);
                let taken = before.owner != after.owner;
                let verb = if taken && self.is_author(&after.owner) { "take" } else { "change" };
                let path = if taken { owner_field() } else { first(fields) };
                // To pass a job on is nothing that its owner may do either.
                let who = Some(owner).filter(|_| !taken);
                self.refuse(Kind::Job, name, path, &format!("{verb} the job `{name}` of `{owner}`"), who);
            }
        }
    }

    /// A change of what is the author's own, field by field.
    fn fields(
        &mut self,
        kind: Kind,
        name: &str,
        table: &'static [Field],
        fields: &[FieldChange],
        whose: &str,
    ) {
        let mut seen = BTreeSet::new();
        for field in fields {
            let (group, part) = match field.path.as_slice() {
                [PathStep::Key(group), PathStep::Key(part), ..] => (group.as_str(), part.as_str()),
                _ => ("", ""),
            };
            if (group == "spec" && table::permits(table, part)) || !seen.insert((group, part)) {
                continue;
            }
            let what = format!("change `{group}.{part}` of {whose}");
            let admins = admins(&self.rights.testbed);
            let themselves = match kind {
                Kind::User => "of one's own user one may change",
                _ => "the node's owner may change",
            };
            self.add(
                (kind, name.to_owned()),
                field.path.clone(),
                &what,
                format!("{admins} may; {themselves} {}", listed(table::permitted(table))),
            );
        }
    }

    /// What has errors on one of the sides.
    fn damaged(&mut self, tree: &Declared) {
        let keys: BTreeSet<&Key> =
            [self.rights, self.base, tree].into_iter().flat_map(|side| side.damaged.keys()).collect();
        for key in keys {
            let (kind, name) = (key.0, key.1.as_str());
            if self.same(key, tree) {
                continue;
            }
            if self.base.damaged.contains_key(key) || self.rights.damaged.contains_key(key) {
                let what = format!(
                    "change the {} `{name}`: it has errors in the base, so that whose it is cannot be judged",
                    kind.as_str().to_lowercase()
                );
                self.refuse(kind, name, Vec::new(), &what, None);
                continue;
            }
            // It has errors in the tree alone, which are reported as such; but whose is it?
            match self.side(kind, name) {
                Side::Own => {}
                Side::Other(owner) => {
                    let owner = Some(owner).filter(|_| kind == Kind::Job);
                    let what = format!("change the {} `{name}`", kind.as_str().to_lowercase());
                    self.refuse(kind, name, Vec::new(), &what, owner);
                }
                Side::Admins if declares(self.base, key) || declares(self.rights, key) => {
                    let what = format!("change the {} `{name}`", kind.as_str().to_lowercase());
                    self.refuse(kind, name, Vec::new(), &what, None);
                }
                Side::Admins => {}
            }
        }
        for (path, text) in &self.base.unreadable {
            if !tree.unreadable.values().any(|other| other == text) {
                let message = format!(
                    "`{}` may not change `{path}`: it cannot be read in the base, so that whose it is cannot be judged",
                    self.author.name()
                );
                let help = self.help(None);
                self.violations.push(Violation { what: Err(path.clone()), path: Vec::new(), message, help });
            }
        }
    }

    /// Whether something is the same in the base and in the tree.
    fn same(&self, key: &Key, tree: &Declared) -> bool {
        match (self.base.damaged.get(key), tree.damaged.get(key)) {
            (Some(before), Some(after)) => before == after,
            (None, None) => {
                let (from, to, name) = (&self.base.testbed, &tree.testbed, key.1.as_str());
                match key.0 {
                    Kind::User => from.users.get(name) == to.users.get(name),
                    Kind::Node => from.nodes.get(name) == to.nodes.get(name),
                    Kind::Job => from.jobs.get(name) == to.jobs.get(name),
                    Kind::Config => from.config == to.config,
                }
            }
            _ => false,
        }
    }

    /// Whose something is: the author's only if nothing says otherwise, neither where the change began
    /// nor on the branch by now.
    fn side(&self, kind: Kind, name: &str) -> Side<'a> {
        let owners = [self.rights, self.base].into_iter().filter_map(|side| match kind {
            Kind::User => side.testbed.users.get_key_value(name).map(|(name, _)| name),
            Kind::Node => side.testbed.nodes.get(name).map(|node| &node.spec.owner),
            Kind::Job => side.testbed.jobs.get(name).map(|job| &job.owner),
            Kind::Config => None,
        });
        let mut side = Side::Admins;
        for owner in owners {
            if !self.is_author(owner) {
                return Side::Other(owner);
            }
            side = Side::Own;
        }
        side
    }

    fn is_author(&self, user: &UserName) -> bool {
        matches!(self.author, Author::User(name) if name == user)
    }

    /// Adds what the author may not do. `owner` is who else but an admin may.
    fn refuse(&mut self, kind: Kind, name: &str, path: Vec<PathStep>, what: &str, owner: Option<&UserName>) {
        let help = self.help(owner);
        self.add((kind, name.to_owned()), path, what, help);
    }

    fn add(&mut self, key: Key, path: Vec<PathStep>, what: &str, help: String) {
        let message = format!("`{}` may not {what}", self.author.name());
        self.violations.push(Violation { what: Ok(key), path, message, help });
    }

    fn help(&self, owner: Option<&UserName>) -> String {
        let admins = admins(&self.rights.testbed);
        let is_admin = |owner: &&UserName| {
            self.rights.testbed.users.get(*owner).is_some_and(|user| user.role == UserRole::Admin)
        };
        let who = match owner.filter(|owner| !is_admin(owner)) {
            Some(owner) => format!("`{owner}` may, or {admins}"),
            None => format!("{admins} may"),
        };
        match self.author {
            Author::Nobody { reason, .. } => format!("{reason}; {who}"),
            _ => who,
        }
    }
}

/// "an admin (`alice` or `bob`)".
pub fn admins(testbed: &Testbed) -> String {
    let users = testbed.users.iter();
    let admins = users.filter(|(_, user)| user.role == UserRole::Admin).map(|(name, _)| name.as_str());
    match one_of(admins) {
        admins if admins == "none" => "an admin".to_owned(),
        admins => format!("an admin ({admins})"),
    }
}

fn declares(declared: &Declared, key: &Key) -> bool {
    let (testbed, name) = (&declared.testbed, key.1.as_str());
    match key.0 {
        Kind::User => testbed.users.contains_key(name),
        Kind::Node => testbed.nodes.contains_key(name),
        Kind::Job => testbed.jobs.contains_key(name),
        // Without a manifest the defaults hold, and those are the admins' to change.
        Kind::Config => true,
    }
}

fn first(fields: &[FieldChange]) -> Vec<PathStep> {
    fields.first().map(|field| field.path.clone()).unwrap_or_default()
}

fn other(side: Side<'_>) -> Option<&UserName> {
    match side {
        Side::Other(owner) => Some(owner),
        Side::Own | Side::Admins => None,
    }
}
