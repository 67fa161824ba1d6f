//! What rules look at, and how they say what they found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac_schemas::{
    Config, Job, JobSpec, Kind, Manifest, Node, RunRole, User, config::ConfigSpec, container::Container,
    job::Targets, manifest::PathStep,
};
use chrono::{DateTime, Utc};

use crate::{
    Moved, NodeEntry, Rule, Source, Testbed,
    document::Content,
    places::{Change, Focus, Remedy, Spot},
};

/// All that is declared, with the place of each declaration. Of a name that is declared twice, the
/// first declaration counts.
pub(crate) struct Context<'a> {
    /// The instant from which on schedules count.
    pub(crate) now: DateTime<Utc>,
    /// Whether every file could be read far enough to know all names. If not, what seems to be
    /// missing may only be unreadable.
    pub(crate) complete: bool,
    /// The path of each file.
    pub(crate) paths: Vec<&'a str>,
    /// Every declaration, in the order of files and documents.
    pub(crate) declarations: Vec<Declaration<'a>>,
    pub(crate) users: BTreeMap<&'a str, Declared<'a, User>>,
    pub(crate) nodes: BTreeMap<&'a str, Declared<'a, Node>>,
    pub(crate) jobs: BTreeMap<&'a str, Declared<'a, Job>>,
    /// The jobs that stand as they stood before a change: what is in their way has to make room.
    standing: BTreeSet<&'a str>,
    /// The runs that take place at another time than the one that is declared.
    pub(crate) moved: &'a [Moved],
    config: Option<Declared<'a, Config>>,
    default_config: Arc<ConfigSpec>,
}

/// A document that declares something.
pub(crate) struct Declaration<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) place: Place,
}

/// Something that is declared.
pub(crate) struct Declared<'a, T> {
    /// What it is; absent when something in it is wrong already, so that nothing can be concluded.
    pub(crate) manifest: Option<&'a T>,
    /// Its document.
    pub(crate) place: Place,
}

/// A node that a job needs.
pub(crate) struct Target<'c, 'a> {
    pub(crate) name: &'c str,
    /// The node; absent when it is not declared.
    pub(crate) node: Option<&'c Declared<'a, Node>>,
    pub(crate) role: RunRole,
    /// The position in the job's list of nodes, if that is where the job asks for it.
    index: Option<usize>,
}

impl Target<'_, '_> {
    /// Where a job asks for it.
    pub(crate) fn place(&self, job: &Place) -> Place {
        let spec = job.key("spec");
        match (self.role, self.index) {
            (RunRole::Server, _) => spec.key("server").key("node"),
            (RunRole::Client, Some(index)) => spec.key("nodes").index(index),
            (RunRole::Client, None) => spec.key("nodeSelector"),
        }
    }
}

/// A finding whose places are not yet looked up.
pub(crate) struct Draft {
    pub(crate) rule: Rule,
    pub(crate) message: String,
    pub(crate) place: Place,
    pub(crate) related: Vec<(String, Place)>,
    pub(crate) notes: Vec<String>,
    pub(crate) help: Option<String>,
    /// A scalar, and what it is to become.
    pub(crate) fix: Option<(Place, Remedy)>,
}

/// A place in one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file, in the order of paths.
    pub(crate) file: usize,
    /// Where in it.
    pub(crate) spot: Spot,
}

impl<'a> Context<'a> {
    /// Collects the declarations of sources that are sorted by path.
    pub(crate) fn new(sources: &[&'a Source], now: DateTime<Utc>) -> Self {
        let mut context = Self {
            now,
            complete: sources.iter().all(|source| source.is_complete()),
            paths: sources.iter().map(|source| source.path()).collect(),
            declarations: Vec::new(),
            users: BTreeMap::new(),
            nodes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            standing: BTreeSet::new(),
            moved: &[],
            config: None,
            default_config: Arc::default(),
        };
        for (file, source) in sources.iter().enumerate() {
            for document in source.documents() {
                context.add(Place::document(file, document.index), &document.content);
            }
        }
        context
    }

    /// The same, with what was declared before the change that is looked at.
    pub(crate) fn since(mut self, base: &Context<'_>) -> Self {
        let stood = |job: &Job| {
            let before = base.jobs.get(job.metadata.name.as_str()).and_then(|before| before.manifest);
            before.is_some_and(|before| reserves_alike(&before.spec, &job.spec))
        };
        let names = self.whole_jobs().filter(|(job, _)| stood(job));
        self.standing = names.map(|(job, _)| job.metadata.name.as_str()).collect();
        self
    }

    /// The same, with runs that were moved.
    pub(crate) fn with_moved(self, moved: &'a [Moved]) -> Self {
        Self { moved, ..self }
    }

    /// Whether a job stands as it stood before the change. Without a change, none does.
    pub(crate) fn stands(&self, job: &Job) -> bool {
        self.standing.contains(job.metadata.name.as_str())
    }

    fn add(&mut self, place: Place, content: &'a Content) {
        let (kind, name, manifest) = match content {
            Content::Manifest(manifest) => (manifest.kind(), manifest.name(), Some(manifest.as_ref())),
            Content::Damaged { kind, name } => (*kind, name.as_str(), None),
            Content::Unknown => return,
        };
        self.declarations.push(Declaration { kind, name, place: place.clone() });
        macro_rules! declare {
            ($map:ident, $variant:ident) => {{
                let manifest = manifest.and_then(|manifest| match manifest {
                    Manifest::$variant(manifest) => Some(manifest),
                    _ => None,
                });
                self.$map.entry(name).or_insert(Declared { manifest, place });
            }};
        }
        match kind {
            Kind::User => declare!(users, User),
            Kind::Node => declare!(nodes, Node),
            Kind::Job => declare!(jobs, Job),
            Kind::Config => {
                let manifest = manifest.and_then(|manifest| match manifest {
                    Manifest::Config(config) => Some(config),
                    _ => None,
                });
                self.config.get_or_insert(Declared { manifest, place });
            }
        }
    }

    /// The users whose manifests are whole, with their documents.
    pub(crate) fn whole_users(&self) -> impl Iterator<Item = (&'a User, &Place)> {
        self.users.values().filter_map(|user| Some((user.manifest?, &user.place)))
    }

    /// The nodes whose manifests are whole, with their documents.
    pub(crate) fn whole_nodes(&self) -> impl Iterator<Item = (&'a Node, &Place)> {
        self.nodes.values().filter_map(|node| Some((node.manifest?, &node.place)))
    }

    /// The jobs whose manifests are whole, with their documents.
    pub(crate) fn whole_jobs(&self) -> impl Iterator<Item = (&'a Job, &Place)> {
        self.jobs.values().filter_map(|job| Some((job.manifest?, &job.place)))
    }

    /// Whether no name is declared twice, nor of a user and a node.
    pub(crate) fn names_are_unique(&self) -> bool {
        let names =
            self.users.len() + self.nodes.len() + self.jobs.len() + usize::from(self.config.is_some());
        names == self.declarations.len() && !self.nodes.keys().any(|name| self.users.contains_key(name))
    }

    /// The settings with their document, if any are declared and whole.
    pub(crate) fn declared_config(&self) -> Option<(&'a Config, &Place)> {
        self.config.as_ref().and_then(|config| Some((config.manifest?, &config.place)))
    }

    /// The settings that hold; absent when those that are declared are not known.
    pub(crate) fn settings(&self) -> Option<&Arc<ConfigSpec>> {
        match &self.config {
            Some(config) => config.manifest.map(|config| &config.spec),
            None => Some(&self.default_config),
        }
    }

    /// The nodes that a job needs, in the order in which it asks for them, its server's last.
    pub(crate) fn targets<'c>(&'c self, job: &'c Job) -> Vec<Target<'c, 'a>> {
        let mut targets = Vec::new();
        match job.spec.targets() {
            Ok(Targets::Nodes(names)) => {
                targets.extend(names.iter().enumerate().map(|(index, name)| Target {
                    name: name.as_str(),
                    node: self.nodes.get(name.as_str()),
                    role: RunRole::Client,
                    index: Some(index),
                }));
            }
            Ok(selector @ Targets::Selector(_)) => {
                let selected = self.nodes.iter().filter(|(_, node)| {
                    let metadata = node.manifest.map(|node| &node.metadata);
                    metadata.is_some_and(|metadata| selector.contains(&metadata.name, &metadata.labels))
                });
                targets.extend(selected.map(|(name, node)| Target {
                    name,
                    node: Some(node),
                    role: RunRole::Client,
                    index: None,
                }));
            }
            Err(_) => {}
        }
        targets.extend(job.spec.server.as_ref().map(|server| Target {
            name: server.node.as_str(),
            node: self.nodes.get(server.node.as_str()),
            role: RunRole::Server,
            index: None,
        }));
        targets
    }

    /// Everything that is declared, once it is certain that nothing is wrong with it.
    pub(crate) fn testbed(&self) -> Testbed {
        let users = self.whole_users().map(|(user, _)| (user.metadata.name.clone(), Arc::clone(&user.spec)));
        let jobs = self.whole_jobs().map(|(job, _)| (job.metadata.name.clone(), Arc::clone(&job.spec)));
        let node = |(node, _): (&Node, _)| (node.metadata.name.clone(), NodeEntry::of(node));
        Testbed {
            users: users.collect(),
            nodes: self.whole_nodes().map(node).collect(),
            jobs: jobs.collect(),
            config: self.settings().map(Arc::clone).unwrap_or_default(),
        }
    }
}

impl Place {
    /// A file as a whole, which no document stands for.
    pub(crate) fn file(file: usize) -> Self {
        Self::document(file, usize::MAX)
    }

    /// A document as a whole.
    pub(crate) fn document(file: usize, document: usize) -> Self {
        Self { file, spot: Spot { document, path: Vec::new(), focus: Focus::Value } }
    }

    /// A value of the mapping at this place.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.step(PathStep::Key(key.to_owned()))
    }

    /// An item of the sequence at this place.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(PathStep::Index(index))
    }

    /// The name of the document at this place.
    pub(crate) fn name(&self) -> Self {
        self.key("metadata").key("name")
    }

    /// The key of the value at this place.
    pub(crate) fn on_key(mut self) -> Self {
        self.spot.focus = Focus::Key;
        self
    }

    /// These bytes of the text at this place.
    pub(crate) fn within(mut self, bytes: std::ops::Range<usize>) -> Self {
        self.spot.focus = Focus::Within(bytes);
        self
    }

    fn step(&self, step: PathStep) -> Self {
        let mut place = self.clone();
        place.spot.path.push(step);
        place
    }
}

impl Draft {
    /// A finding of a rule at a place.
    pub(crate) fn new(rule: Rule, place: Place, message: String) -> Self {
        Self { rule, message, place, related: Vec::new(), notes: Vec::new(), help: None, fix: None }
    }

    /// Adds another place that one has to see.
    #[must_use]
    pub(crate) fn related(mut self, message: impl Into<String>, place: Place) -> Self {
        self.related.push((message.into(), place));
        self
    }

    /// Adds what would make it go away.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a fact that one has to know.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds that the scalar at a place certainly is to become another.
    #[must_use]
    pub(crate) fn fix(mut self, place: Place, old: &str, new: &str) -> Self {
        let message = format!("replace `{old}` with `{new}`");
        self.fix = Some((place, Remedy { message, change: Change::Write(new.to_owned()) }));
        self
    }
}

/// Whether two jobs reserve the same nodes, and their ports, at the same times, as far as their manifests say.
fn reserves_alike(a: &JobSpec, b: &JobSpec) -> bool {
    let published = |container: &Container| (container.network, container.ports.clone());
    let server = |spec: &'_ JobSpec| {
        spec.server.as_ref().map(|server| (server.node.clone(), published(&server.container)))
    };
    (&a.schedule, &a.nodes, &a.node_selector, a.exclusive)
        == (&b.schedule, &b.nodes, &b.node_selector, b.exclusive)
        && published(&a.container) == published(&b.container)
        && server(a) == server(b)
}
