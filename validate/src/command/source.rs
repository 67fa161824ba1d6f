//! What is looked at, and what it is compared with: shared by all commands that read manifests.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use almanac_validate::{
    Declared, Report, Severity, Source, check, check_change, novelty,
    ownership::{self, Author},
    revision::{Cache, Commit, Repository, RevisionError},
    walk,
};
use anyhow::bail;
use chrono::{DateTime, Utc};

use super::print::say;

/// Which tree of manifests is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The folder of the manifests, or a bare repository.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// Read this revision of the Git repository instead of the files.
    ///
    /// Anything that `git rev-parse` understands: a branch, a tag, a hash, `HEAD~2`.
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
}

/// A tree that was read.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its files.
    pub(crate) sources: Vec<Arc<Source>>,
    /// Which it is, in words.
    pub(crate) name: String,
}

/// A tree with what another is, from which it departs.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The tree that is looked at.
    pub(crate) tree: Tree,
    /// The tree at the merge base.
    pub(crate) base: Tree,
    /// The tree of the revision that was named: rights are those that it grants.
    rights: Vec<Arc<Source>>,
}

impl Place {
    /// Reads the tree.
    pub(crate) fn read(&self) -> anyhow::Result<Tree> {
        let Some(rev) = &self.rev else {
            let sources = walk(&self.path)?;
            if sources.is_empty() && self.path.join("HEAD").is_file() && self.path.join("objects").is_dir() {
                bail!("`{}` is a bare repository: name a revision with `--rev`", self.path.display());
            }
            return Ok(Tree { sources, name: "the working tree".to_owned() });
        };
        let repository = Repository::around(&self.path)?;
        let commit = repository.find(rev)?;
        let sources = repository.sources(&commit, &mut Cache::default())?;
        Ok(Tree { sources, name: named(&commit) })
    }

    /// Reads the tree and what it departs from: the merge base of a revision and of the tree's own.
    pub(crate) fn read_with(&self, base: &str) -> anyhow::Result<Comparison> {
        let repository = Repository::around(&self.path)?;
        let named_base = repository.find(base)?;
        let own = repository.find(self.rev.as_deref().unwrap_or("HEAD"))?;
        let merge_base = repository.merge_base(&named_base, &own)?;
        let mut cache = Cache::default();
        let mut earlier = |commit: &Commit| match repository.sources(commit, &mut cache) {
            // A folder that is still to come holds nothing.
            Err(RevisionError::NoFolder { .. }) => Ok(Vec::new()),
            sources => sources,
        };
        let base_sources = earlier(&merge_base)?;
        let rights =
            if merge_base.id() == named_base.id() { base_sources.clone() } else { earlier(&named_base)? };
        let tree = match &self.rev {
            None if !repository.is_bare() => self.read()?,
            _ => Tree { sources: repository.sources(&own, &mut cache)?, name: named(&own) },
        };
        let name = if merge_base.id() == named_base.id() { named(&named_base) } else { named(&merge_base) };
        Ok(Comparison { tree, base: Tree { sources: base_sources, name }, rights })
    }

    /// The options that name it again, for a command that is to be typed.
    pub(crate) fn arguments(&self) -> String {
        let rev = self.rev.iter().map(|rev| format!(" --rev {rev}"));
        // The present folder is what a command takes by itself.
        let path = Some(format!(" {}", self.path.display())).filter(|_| self.path != Path::new("."));
        rev.chain(path).collect()
    }

    /// The folder, or the path of a bare repository.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What paths are shown below: nothing for the present folder, nor in a bare repository, which has no
    /// files to open.
    pub(crate) fn root(&self) -> PathBuf {
        let bare = || Repository::around(&self.path).is_ok_and(|repository| repository.is_bare());
        if self.rev.is_some() && bare() { PathBuf::new() } else { shown(&self.path).to_owned() }
    }

    /// The folder from the root of its repository; empty outside of one.
    pub(crate) fn folder(&self) -> anyhow::Result<String> {
        match Repository::around(&self.path) {
            Ok(repository) => Ok(repository.folder().to_owned()),
            Err(RevisionError::NoRepository(_)) => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Comparison {
    /// Checks both trees and whether the author may make the change, and marks what is new. Returns the
    /// report on the tree and how many errors the base has.
    pub(crate) fn check(&self, author: Option<&str>, now: DateTime<Utc>) -> (Report, usize) {
        let (tree, base) = (&self.tree.sources, &self.base.sources);
        let base_report = check(base, now);
        let mut report = check_change(tree, base, now);
        novelty::mark(&mut report, tree, &base_report, base);
        if let Some(author) = author {
            report.add(self.ownership(author));
        }
        (report, base_report.count(Severity::Error))
    }

    fn ownership(&self, author: &str) -> Vec<almanac_validate::Finding> {
        let rights = Declared::new(&self.rights);
        let (base, tree) = (Declared::new(&self.base.sources), Declared::new(&self.tree.sources));
        let author = Author::find(&rights, author);
        if author == Author::Anybody {
            say("note: the base declares no admin, so anybody may change everything");
        }
        let violations = ownership::judge(&author, &rights, &base, &tree);
        ownership::findings(violations, &self.tree.sources, &self.base.sources)
    }
}

/// "main (3f2a1b9c0d)", or the hash alone when that is how it was named.
fn named(commit: &Commit) -> String {
    let (name, id) = (commit.name(), commit.short_id());
    if commit.id().starts_with(name) { id } else { format!("{name} ({id})") }
}

/// What paths are shown below: nothing for the present folder.
pub(super) fn shown(folder: &Path) -> &Path {
    folder.strip_prefix(".").unwrap_or(folder)
}
