//! The check of a whole change, from what is in force to a new head.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use almanac_schemas::PublicKey;
use almanac_validate::{
    Declared, Finding, Location, Rule, Source, Testbed,
    ownership::{self, Branch, admins, judge},
    revision::{Cache, Difference, read_difference, read_tree},
};
use git2::{Commit, ObjectType, Oid, Repository, Tree};

use super::{
    TrustedKey,
    history::{self, History},
    merge,
    signature::signing_key,
    signer::{Grants, Signer},
    vouch::{TRAILER, short, vouched},
};

/// The most findings that are told one by one. Whoever has so many has one cause.
const MOST_FINDINGS: usize = 200;

/// The most of those who vouch in vain that each finding names.
const MOST_NOTES: usize = 3;

/// A change that is to be put in force.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The commit in force.
    pub applied: &'a str,
    /// What is in force.
    pub testbed: &'a Arc<Testbed>,
    /// The commit that is to follow.
    pub head: &'a str,
    /// Its manifests.
    pub sources: &'a [Arc<Source>],
    /// The keys of the reconciler's configuration.
    pub trusted: &'a [TrustedKey],
}

/// What came out.
#[derive(Debug)]
pub struct Verified {
    /// Who signed the head: the name of a user, or of a trusted key. None when it is signed by nobody
    /// that is known, or is in force already.
    pub signer: Option<String>,
    /// What is wrong; nothing when all commits may be put in force.
    pub findings: Vec<Finding>,
}

/// Checks each commit of a change. Manifests are below the folder `subdir`, empty for the root; `cache`
/// holds those that were parsed already.
///
/// Objects that this makes on the way, such as trees to compare merges with, stay in the memory of
/// `git`, which must not be used to write anything afterwards.
///
/// # Errors
///
/// When an object is missing or broken.
pub fn verify(
    git: &Repository,
    subdir: &str,
    cache: &mut Cache,
    change: &Change<'_>,
) -> Result<Verified, git2::Error> {
    let odb = git.odb()?;
    // Before the repository's own, whose priorities are 1 and 2, so that nothing is ever written there.
    let _memory = odb.add_new_mempack_backend(1_000)?;
    let (applied, head) = (Oid::from_str(change.applied)?, Oid::from_str(change.head)?);
    let Some(history) = History::walk(git, applied, head)? else {
        return Ok(Verified { signer: None, findings: vec![too_many(change)] });
    };
    let mut grants = Grants::in_force(Declared::from(Arc::clone(change.testbed)));
    let mut verdicts = Vec::new();
    let mut before = applied;
    let last = history.steps.len().saturating_sub(1);
    for (number, step) in history.steps.iter().enumerate() {
        for commit in step {
            verdicts.push(verdict(git, subdir, change, &grants, *commit)?);
        }
        if let Some(after) = step.last().filter(|_| number < last) {
            let from = folder(git, &git.find_commit(before)?.tree()?, subdir)?;
            let to = folder(git, &git.find_commit(*after)?.tree()?, subdir)?;
            let difference = read_difference(git, from.as_ref(), to.as_ref())?;
            grants.advance(&difference, || match &from {
                Some(tree) => Ok(Branch::new(read_tree(git, tree, cache)?)),
                None => Ok::<_, git2::Error>(Branch::default()),
            })?;
            before = *after;
        }
    }
    conclude(git, change, head, &history, verdicts)
}

/// What there is to say about one commit.
struct Verdict {
    commit: Oid,
    /// By whom it is, and with which key.
    signer: Option<(Signer, PublicKey)>,
    /// Whether its signer may change everything.
    admin: bool,
    findings: Vec<Finding>,
}

fn verdict(
    git: &Repository,
    subdir: &str,
    change: &Change<'_>,
    grants: &Grants,
    id: Oid,
) -> Result<Verdict, git2::Error> {
    let odb = git.odb()?;
    let object = odb.read(id)?;
    let signer = signing_key(object.data())
        .and_then(|key| Ok((Signer::of(&key, change.trusted, grants.people())?, key)));
    let (signer, key) = match signer {
        Ok(signer) => signer,
        Err(refusal) => {
            let message = format!("commit `{}` {refusal}", short(id));
            let help = format!(
                "take the commit out of the branch and {}; or {}",
                refusal.remedy(),
                vouching(change, id)
            );
            return Ok(Verdict {
                commit: id,
                signer: None,
                admin: false,
                findings: vec![finding(message, help)],
            });
        }
    };
    let mut findings = Vec::new();
    let author = signer.author(grants.people());
    let admin = author.is_none();
    if let Some(author) = author {
        let commit = git.find_commit(id)?;
        let after = folder(git, &commit.tree()?, subdir)?;
        for base in bases(git, &commit)? {
            let base = base.map(|base| folder(git, &git.find_tree(base)?, subdir)).transpose()?.flatten();
            let difference = read_difference(git, base.as_ref(), after.as_ref())?;
            let violations = grants.with(&difference, |rights| {
                let (from, to) = (Declared::new(&difference.before), Declared::new(&difference.after));
                judge(&author, rights, &from, &to)
            });
            let found = ownership::findings(violations, &difference.after, &difference.before);
            for found in found.into_iter().map(|found| of_commit(found, change, id, &signer, &difference)) {
                if !findings.contains(&found) {
                    findings.push(found);
                }
            }
        }
    }
    Ok(Verdict { commit: id, signer: Some((signer, key)), admin, findings })
}

/// The trees that a commit is compared with; none stands for an empty one.
fn bases(git: &Repository, commit: &Commit<'_>) -> Result<Vec<Option<Oid>>, git2::Error> {
    let parents: Vec<Commit<'_>> = commit.parents().collect();
    Ok(match parents.as_slice() {
        [] => vec![None],
        [ours, theirs] => merge::expected(git, ours, theirs)?.into_iter().map(Some).collect(),
        parents => parents.iter().map(|parent| Some(parent.tree_id())).collect(),
    })
}

/// The folder of a tree that manifests are below, if it has one.
fn folder<'r>(git: &'r Repository, root: &Tree<'r>, subdir: &str) -> Result<Option<Tree<'r>>, git2::Error> {
    if subdir.is_empty() {
        return Ok(Some(root.clone()));
    }
    match root.get_path(subdir.as_ref()) {
        Ok(entry) if entry.kind() == Some(ObjectType::Tree) => Ok(Some(git.find_tree(entry.id())?)),
        Ok(_) => Ok(None),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves out what an admin vouches for, and adds what is to be said of the branch as a whole.
fn conclude(
    git: &Repository,
    change: &Change<'_>,
    head: Oid,
    history: &History,
    verdicts: Vec<Verdict>,
) -> Result<Verified, git2::Error> {
    let in_force = Declared::from(Arc::clone(change.testbed));
    // An admin still, and by what is in force: a refused commit may be what makes somebody one.
    let is_admin = |verdict: &Verdict| {
        let signer = verdict.signer.as_ref().filter(|_| verdict.admin);
        let signer = signer.and_then(|(_, key)| Signer::of(key, change.trusted, &in_force).ok());
        signer.is_some_and(|signer| signer.author(&in_force).is_none())
    };
    let mut accepted = HashSet::new();
    // Who vouches in vain, by what they vouch for.
    let mut vain: HashMap<Oid, Vec<String>> = HashMap::new();
    if verdicts.iter().any(|verdict| !verdict.findings.is_empty()) {
        let mut commits: Vec<Oid> = verdicts.iter().map(|verdict| verdict.commit).collect();
        commits.sort_unstable();
        for verdict in &verdicts {
            let vouched = vouched(&git.find_commit(verdict.commit)?, &commits);
            if is_admin(verdict) {
                accepted.extend(vouched);
                continue;
            }
            for commit in vouched {
                let notes = vain.entry(commit).or_default();
                if notes.len() < MOST_NOTES {
                    notes.push(in_vain(verdict));
                }
            }
        }
    }
    let of_head = verdicts.iter().find(|verdict| verdict.commit == head);
    let mut findings = Vec::new();
    if history.rewritten && !of_head.is_some_and(is_admin) {
        findings.push(rewritten(change, head));
    }
    let signer = of_head.and_then(|verdict| Some(verdict.signer.as_ref()?.0.to_string()));
    let refused = verdicts.into_iter().filter(|verdict| !accepted.contains(&verdict.commit));
    for verdict in refused {
        let notes = vain.remove(&verdict.commit).unwrap_or_default();
        findings.extend(verdict.findings.into_iter().map(|mut found| {
            found.notes.extend_from_slice(&notes);
            found
        }));
    }
    if findings.len() > MOST_FINDINGS {
        let more = findings.len() - MOST_FINDINGS;
        findings.truncate(MOST_FINDINGS);
        let message = format!("{more} more findings about commits are not shown");
        findings.push(finding(message, "correct the others first".to_owned()));
    }
    Ok(Verified { signer, findings })
}

/// A violation as a finding about its commit.
fn of_commit(
    mut found: Finding,
    change: &Change<'_>,
    commit: Oid,
    signer: &Signer,
    difference: &Difference,
) -> Finding {
    let what = found.message.strip_prefix(&format!("`{signer}` ")).unwrap_or(&found.message);
    found.message = format!("commit `{}` is signed by `{signer}`, who {what}", short(commit));
    let help = found.help.take().unwrap_or_default();
    found.help = Some(format!("{help}; take the commit out of the branch, or {}", vouching(change, commit)));
    found.new = None;
    // A line of the commit's file is that line of the head's only as long as it is the same file.
    found.location = found.location.map(|location| {
        let text = |sources: &[Arc<Source>]| {
            let source = sources.iter().find(|source| source.path() == location.file);
            source.map(|source| source.text().to_owned())
        };
        if text(change.sources) == text(&difference.after) {
            location
        } else {
            Location::whole_file(&location.file)
        }
    });
    found
}

/// Why what a commit vouches for is refused all the same.
fn in_vain(verdict: &Verdict) -> String {
    let by = short(verdict.commit);
    match &verdict.signer {
        None => format!("commit `{by}` vouches for it, which does not count: its own signature does not"),
        Some((signer, _)) => {
            // One that the branch makes an admin on the way is none by what is in force.
            let when = if verdict.admin { " by what is in force" } else { "" };
            format!(
                "`{signer}` vouches for it by commit `{by}`, which does not count: `{signer}` is no admin{when}"
            )
        }
    }
}

fn vouching(change: &Change<'_>, commit: Oid) -> String {
    let admin = admins(change.testbed);
    format!(
        "{admin} vouches for it, by a signed commit on top with the trailer `{TRAILER}: {}`",
        short(commit)
    )
}

fn too_many(change: &Change<'_>) -> Finding {
    let applied = change.applied.get(..12).unwrap_or(change.applied);
    let message = format!(
        "more than {} commits lead from `{applied}`, which is in force, to the head of the branch: too many to verify",
        history::MOST
    );
    let help = "push fewer of them at a time, and wait until they are in force".to_owned();
    finding(message, help)
}

fn rewritten(change: &Change<'_>, head: Oid) -> Finding {
    let applied = change.applied.get(..12).unwrap_or(change.applied);
    let message = format!(
        "the branch was rewritten: its head `{}` does not contain `{applied}`, which is in force, and is not signed by an admin",
        short(head)
    );
    let help = format!(
        "bring `{applied}` back into the branch and put commits on top of it; or {} signs a commit on top of the new branch",
        admins(change.testbed)
    );
    finding(message, help)
}

fn finding(message: String, help: String) -> Finding {
    Finding {
        rule: Rule::CommitSignature,
        severity: Rule::CommitSignature.severity(),
        message,
        location: None,
        related: Vec::new(),
        notes: Vec::new(),
        help: Some(help),
        fix: None,
        new: None,
    }
}
