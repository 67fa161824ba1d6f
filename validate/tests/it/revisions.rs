//! `--rev` and `--base`, on real repositories.

use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt, sync::Arc};

use almanac_validate::{
    Source,
    revision::{Cache, read_difference, read_tree},
};

use crate::git::{Repo, World, job, node, user};

const NOW: &str = "--now=2026-11-24T00:00:00Z";

const CLEAN: &str = "1 file checked, nothing found\n";

/// A repository with a sound first commit, tagged `v1`, and an error in the second.
fn two_commits(world: &World) -> (Repo, [String; 2]) {
    let repo = world.repo("repo");
    repo.write("users/ann.yaml", &user("ann", "{}"));
    let first = repo.commit();
    repo.git(&["tag", "v1"]);
    repo.git(&["tag", "-a", "-m", "x", "annotated"]);
    repo.write("users/ann.yaml", &user("ann", "{ teem: a }"));
    let second = repo.commit();
    (repo, [first, second])
}

#[test]
fn any_name_of_a_revision_is_understood() {
    let world = World::new();
    let (repo, [first, second]) = two_commits(&world);
    repo.git(&["branch", "feature/old", "v1"]);
    for rev in ["v1", "annotated", "HEAD~1", "main^", "feature/old", "refs/tags/v1", &first, &first[..7]] {
        let ran = repo.run(&["check", "--rev", rev]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, CLEAN), "{rev}: {}", ran.stderr);
    }
    for rev in ["main", "HEAD", "@", &second] {
        let ran = repo.run(&["check", "--rev", rev]);
        assert_eq!(ran.code, 1, "{rev}");
        assert!(ran.stdout.contains("--> users/ann.yaml:4:9"), "{}", ran.stdout);
    }
    // What is in the folder does not matter.
    fs::remove_dir_all(repo.path.join("users")).unwrap();
    assert_eq!(repo.run(&["check", "--rev", "v1"]).stdout, CLEAN);
    assert_eq!(repo.run(&["check"]).stdout, "0 files checked, nothing found\n");
}

#[test]
fn remote_branches_detached_heads_and_worktrees_are_understood() {
    let world = World::new();
    let (repo, [first, _]) = two_commits(&world);
    let clone = world.clone_of(&repo, "clone", &[]);
    assert_eq!(clone.run(&["check", "--rev", "origin/main"]).code, 1);
    clone.git(&["checkout", "-q", &first]);
    assert_eq!(clone.run(&["check", "--rev", "HEAD"]).stdout, CLEAN);
    assert_eq!(clone.run(&["check", "--base", "origin/main"]).stdout, CLEAN);

    clone.git(&["worktree", "add", "-q", "../other", "v1"]);
    let other = world.at("other");
    assert_eq!(other.run(&["check", "--rev", "HEAD"]).stdout, CLEAN);
    assert_eq!(other.run_in("users", &["check", "--rev", "main"]).code, 1);
}

#[test]
fn folders_are_those_of_the_revision() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("README.md", "x").write("bed/users/ann.yaml", &user("ann", "{}")).write("other.yaml", "a: [");
    repo.write("bed/.almanacignore", "/old/\n").write("bed/old/a.yaml", "a: [");
    repo.commit();
    for (folder, arguments) in [
        ("", ["check", "bed", "--rev=HEAD"]),
        ("bed", ["check", ".", "--rev=HEAD"]),
        ("bed", ["check", "../bed/users", "--rev=HEAD"]),
    ] {
        assert_eq!(repo.run_in(folder, &arguments).stdout, CLEAN, "{folder} {arguments:?}");
    }
    assert_eq!(repo.run(&["check", "--rev=HEAD"]).code, 1);
    repo.write("bed/users/ann.yaml", &user("ann", "{ teem: a }")).commit();
    let ran = repo.run(&["check", "bed", "--rev=HEAD"]);
    assert!(ran.stdout.contains("--> bed/users/ann.yaml:4:9"), "{}", ran.stdout);
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    // A folder that is gone by now was there.
    fs::remove_dir_all(repo.path.join("bed")).unwrap();
    assert_eq!(repo.run(&["check", "bed", "--rev=HEAD"]).stdout, CLEAN);
    assert_eq!(
        repo.refusal(&["check", "bad/users", "--rev=HEAD"]),
        "there is no folder `bad/users` in `HEAD`"
    );
    assert_eq!(
        repo.refusal(&["check", "README.md", "--rev=HEAD"]),
        "there is no folder `README.md` in `HEAD`"
    );
}

#[test]
fn bare_repositories_are_read() {
    let world = World::new();
    let (repo, _) = two_commits(&world);
    let bare = world.clone_of(&repo, "bare.git", &["--bare"]);
    let path = bare.path.to_str().unwrap();
    assert_eq!(world.at("").run(&["check", path, "--rev=v1"]).stdout, CLEAN);
    assert_eq!(world.at("").run(&["check", &format!("{path}/users"), "--rev=v1"]).stdout, CLEAN);
    assert_eq!(world.at("").run(&["check", path, "--rev=main"]).code, 1);
    let ran = world.at("").run(&["check", path, "--rev=main"]);
    assert!(ran.stdout.contains("--> users/ann.yaml:4:9"), "{}", ran.stdout);
    // Without a revision there is nothing to look at, and compared is what its own `HEAD` says.
    assert_eq!(
        world.at("").refusal(&["check", path]),
        "`[home]/bare.git` is a bare repository: name a revision with `--rev`"
    );
    let ran = world.at("").run(&["check", path, "--base=v1"]);
    assert!(ran.stdout.contains("new error[unknown-field]"), "{}{}", ran.stdout, ran.stderr);
    let ran = world.at("").run(&["plan", path, "--rev=main~1", "--base=main"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn links_and_submodules_are_findings_and_a_submodule_can_be_looked_at() {
    let world = World::new();
    let (inner, _) = two_commits(&world);
    let outer = world.repo("outer");
    outer.git(&["submodule", "--quiet", "add", inner.path.to_str().unwrap(), "inner"]);
    std::os::unix::fs::symlink("inner/users/ann.yaml", outer.path.join("ann.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", outer.path.join(".almanacignore")).unwrap();
    outer.commit();
    for arguments in [&["check"][..], &["check", "--rev=HEAD"]] {
        let ran = outer.run(arguments);
        let rules = |rule: &str| ran.stdout.matches(&format!("error[{rule}]")).count();
        assert_eq!((rules("symbolic-link"), rules("submodule")), (2, 1), "{arguments:?}: {}", ran.stdout);
    }
    assert_eq!(outer.run(&["check", "inner", "--rev=v1"]).stdout, CLEAN);
}

#[test]
fn what_cannot_be_found_is_explained() {
    let world = World::new();
    let (repo, [first, _]) = two_commits(&world);
    repo.git(&["branch", "feature"]);
    let plain = world.at("plain");
    fs::create_dir(&plain.path).unwrap();
    assert_eq!(
        plain.refusal(&["check", "--rev=main"]),
        "`.` is not in a Git repository: revisions need one; give a folder of its work tree, or the path of a bare one"
    );
    let unborn = world.repo("unborn");
    assert_eq!(unborn.refusal(&["check", "--rev=HEAD"]), "the repository has no commit yet");
    assert_eq!(unborn.refusal(&["check", "--base=main"]), "the repository has no commit yet");

    let unknown = |rev: &str| repo.refusal(&["check", "--rev", rev]);
    assert_eq!(unknown("featrue"), "there is no revision `featrue`; did you mean `feature`?");
    assert_eq!(
        unknown("0123456"),
        "there is no revision `0123456`; expected a hash, `HEAD`, or a name such as `annotated`, `feature`, `main` or `v1`"
    );
    assert_eq!(
        unknown("v1..main"),
        "`v1..main` is a range: give one revision; the merge base of `--base` is found by itself"
    );
    assert_eq!(unknown("HEAD:users"), "`HEAD:users` is a folder, and not a commit");
    assert_eq!(unknown("HEAD:users/ann.yaml"), "`HEAD:users/ann.yaml` is a file, and not a commit");
    assert_eq!(unknown("HEAD~9").split(';').next(), Some("there is no revision `HEAD~9`"));

    let clone = world.clone_of(&repo, "clone", &[]);
    clone.git(&["checkout", "-q", "-b", "mine"]);
    clone.git(&["branch", "-q", "-D", "main"]);
    assert_eq!(
        clone.refusal(&["check", "--base=main"]),
        "there is no revision `main`; did you mean `origin/main`?"
    );

    repo.git(&["checkout", "-q", "--orphan", "unrelated"]);
    repo.commit();
    assert_eq!(repo.refusal(&["check", "--base=main"]), "`main` and `HEAD` have no commit in common");
    // A blob that is lost.
    let blob = repo.git(&["rev-parse", &format!("{first}:users/ann.yaml")]);
    fs::remove_file(repo.path.join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]))).unwrap();
    let lost = unknown("v1");
    assert!(lost.starts_with("cannot read the commit `v1`; `git fsck` may say more: "), "{lost}");
}

#[test]
fn a_shallow_clone_is_told_what_it_lacks() {
    let world = World::new();
    let (repo, [first, _]) = two_commits(&world);
    repo.git(&["checkout", "-q", "-b", "change", "v1"]);
    repo.write("x", "1").commit();
    let clone = world.clone_of(&repo, "clone", &["--depth=1", "--branch=change"]);
    let advice = "; this is a shallow clone: fetch the whole history with `git fetch --unshallow`, or in a workflow with \
                  `fetch-depth: 0` of `actions/checkout`";
    assert_eq!(
        clone.refusal(&["check", "--base=origin/main"]),
        format!("there is no revision `origin/main`{advice}")
    );
    assert_eq!(clone.refusal(&["check", "--rev", &first]), format!("there is no revision `{first}`{advice}"));
    clone.git(&["fetch", "-q", "--depth=1", "origin", "main:refs/remotes/origin/main"]);
    assert_eq!(
        clone.refusal(&["check", "--base=origin/main"]),
        format!("`origin/main` and `HEAD` have no commit in common{advice}")
    );
    clone.git(&["fetch", "-q", "--unshallow", "origin"]);
    let ran = clone.run(&["check", "--base=origin/main"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, CLEAN), "{}", ran.stderr);
}

#[test]
fn a_partial_clone_is_told_what_it_lacks() {
    let world = World::new();
    let (repo, _) = two_commits(&world);
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = world.clone_of(&repo, "clone", &["--filter=blob:none", "--no-checkout"]);
    assert_eq!(
        clone.refusal(&["check", "--rev=HEAD"]),
        "an object of the commit `HEAD` is not there: this is a partial clone, so check out the commit once, or clone without `--filter`"
    );
    clone.git(&["checkout", "-q", "v1"]);
    assert_eq!(clone.run(&["check", "--rev=HEAD"]).stdout, CLEAN);
}

/// Nothing that a repository says is run: neither hooks, nor what its configuration names.
#[test]
fn nothing_in_a_repository_is_run() {
    let world = World::new();
    let (repo, _) = two_commits(&world);
    let marker = world.path().join("it-ran");
    let script = repo.path.join("evil.sh");
    fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", marker.display())).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, permissions).unwrap();
    repo.write(".gitattributes", "*.yaml filter=evil diff=evil\n").commit();
    let run = script.to_str().unwrap();
    for name in fs::read_dir(repo.path.join(".git/hooks")).unwrap() {
        let name = name.unwrap().path();
        fs::copy(&script, name.with_extension("")).unwrap();
    }
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.alternateRefsCommand",
        "core.gitProxy",
        "filter.evil.smudge",
        "filter.evil.clean",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "uploadpack.packObjectsHook",
        "credential.helper",
        "gpg.program",
    ] {
        fs::remove_file(&marker).unwrap_or_default();
        repo.git(&["config", key, run]);
    }
    fs::remove_file(&marker).unwrap_or_default();
    for arguments in [
        &["check"][..],
        &["check", "--rev=HEAD"],
        &["check", "--base=v1"],
        &["plan", "--base=v1", "--author=ann"],
        &["codeowners"],
    ] {
        let ran = repo.run(arguments);
        assert_ne!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(!marker.exists(), "{arguments:?} ran something");
    }
    repo.git(&["status"]);
    assert!(marker.exists(), "what would show it does not work");
}

/// As in a container of a workflow, where the checkout belongs to the host's user.
#[test]
#[ignore = "needs root"]
fn a_repository_of_another_user_must_be_trusted_first() {
    let world = World::new();
    let (repo, _) = two_commits(&world);
    for entry in [&repo.path, &repo.path.join(".git")] {
        std::os::unix::fs::chown(entry, Some(4711), None).unwrap();
    }
    let trust = format!("git config --global --add safe.directory {}", repo.path.display());
    assert_eq!(
        repo.refusal(&["check", "users", "--rev=HEAD"]),
        format!("the repository of `users` belongs to another user; if you trust it, run `{trust}`")
            .replace(world.path().to_str().unwrap(), "[home]")
    );
    // Without a revision there is no need to open the repository.
    assert_eq!(repo.run(&["check"]).code, 1);
    world.at("").git(&["config", "--global", "--add", "safe.directory", repo.path.to_str().unwrap()]);
    assert_eq!(repo.run(&["check", "--rev=v1"]).stdout, CLEAN);
}

/// A testbed where two jobs conflict, on `main` and on a branch that adds a third job.
fn conflict(world: &World) -> Repo {
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{ role: admin }")).write("n.yaml", &node("n", "{ owner: ann }"));
    let schedule = |minute: u8| {
        format!(
            "cron: \"{minute} * * * *\", start: 2026-12-01T00:00:00Z, end: 2027-02-01T00:00:00Z, length: 2m"
        )
    };
    repo.write("jobs/a.yaml", &job("a", "n", &schedule(0)));
    repo.write("jobs/b.yaml", &job("b", "n", &schedule(1)));
    repo.commit();
    repo.git(&["checkout", "-q", "-b", "change"]);
    repo.git(&["mv", "jobs/a.yaml", "jobs/z.yaml"]);
    repo.write("jobs/c.yaml", &job("c", "n", &schedule(30)));
    repo.commit();
    repo
}

#[test]
fn new_findings_are_marked_and_can_be_shown_alone() {
    let world = World::new();
    let repo = conflict(&world);
    let check = |more: &[&str]| repo.run(&[&["check", "--base=main", NOW][..], more].concat());
    let old = check(&[]);
    assert_eq!(old.code, 1);
    assert!(old.stdout.starts_with("error[schedule-conflict]: `a` and `b`"), "{}", old.stdout);
    assert!(old.stdout.ends_with("\n5 files checked: 1 error, which is not new\n"), "{}", old.stdout);
    let alone = check(&["--only-new"]);
    assert_eq!(
        (alone.code, alone.stdout.as_str()),
        (0, "5 files checked, nothing found; 1 finding of the base left out\n")
    );

    repo.write("jobs/d.yaml", &job("d", "n", "at: 2027-01-01T00:30:00Z, length: 1m"));
    repo.write("jobs/e.yaml", &job("e", "n", "at: 2020-01-01T00:30:00Z, length: 1m"));
    insta::assert_snapshot!("only_new", check(&["--only-new"]).stdout);
    let all = check(&["--format=json"]);
    let all: serde_json::Value = serde_json::from_str(&all.stdout).unwrap();
    let new = all["findings"].as_array().unwrap().iter().map(|finding| finding["new"].as_bool().unwrap());
    assert_eq!(new.collect::<Vec<_>>(), [true, true, false], "{all:#}");
    assert_eq!(
        all["summary"],
        serde_json::json!({ "files": 7, "errors": 2, "warnings": 1, "silenced": 0, "new": 2 })
    );
    let new = check(&["--format=json", "--only-new"]);
    assert_eq!(new.code, 1);
    let new: serde_json::Value = serde_json::from_str(&new.stdout).unwrap();
    assert_eq!(new["summary"]["leftOut"], 1);
    // A warning is no reason to fail.
    fs::remove_file(repo.path.join("jobs/d.yaml")).unwrap();
    assert_eq!(check(&["--only-new"]).code, 0);
}

#[test]
fn the_base_is_where_the_two_parted() {
    let world = World::new();
    let repo = conflict(&world);
    // What went wrong on `main` since then is not this change's, nor what was put right there.
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["rm", "-q", "jobs/b.yaml"]);
    repo.write("bad.yaml", "a: [").commit();
    repo.git(&["checkout", "-q", "change"]);
    let ran = repo.run(&["check", "--base=main", "--only-new", NOW]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "5 files checked, nothing found; 1 finding of the base left out\n")
    );
    let plan = repo.run(&["plan", "--base=main", "--rev=change", NOW]).stdout;
    assert!(plan.contains(": 1 added, 0 changed, 0 removed\n"), "{plan}");
    // As a forge checks a pull request: merged with the branch that it is for.
    repo.git(&["checkout", "-q", "--detach", "change"]);
    repo.git(&["merge", "-q", "main", "-m", "a merge"]);
    let ran = repo.run(&["check", "--base=main", NOW]);
    assert!(ran.stdout.ends_with("1 error, which is not new\n"), "{}", ran.stdout);
}

#[test]
fn a_base_without_the_folder_is_empty() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("README.md", "x").commit();
    repo.write("bed/ann.yaml", &user("ann", "{ teem: x }"));
    let ran = repo.run(&["check", "bed", "--base=HEAD", "--author=anyone"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "note: the base declares no admin, so anybody may change everything\n")
    );
    assert!(ran.stdout.starts_with("new error[unknown-field]"), "{}", ran.stdout);
    assert_eq!(repo.run(&["check", "--only-new"]).code, 2, "there is nothing to compare with");
}

#[test]
fn what_a_change_brings_is_what_has_to_make_room() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("base.yaml", &(user("ann", "{ role: admin }") + "---\n" + &node("n1", "{ owner: ann }")));
    let at = |minute: u8| {
        format!(
            "cron: \"{minute} 12 * * *\", start: 2027-01-01T00:00:00Z, end: 2027-12-01T00:00:00Z, length: 5m"
        )
    };
    repo.write("z.yaml", &job("standing", "n1", &at(0)));
    repo.write("y.yaml", &job("moved", "n1", &at(30)));
    repo.commit();
    // Both come before the other one, by name and by path.
    repo.write("a.yaml", &job("added", "n1", &at(1)));
    repo.write("y.yaml", &job("moved", "n1", &at(4)));
    let found = |arguments: &[&str]| {
        let ran =
            repo.run(&[&["check", "--now=2027-03-01T00:00:00Z", "--format=github"], arguments].concat());
        let places = ran.stdout.lines().filter_map(|line| line.split_once("::")?.1.split_once("::"));
        places
            .map(|(_, text)| text.split_once(", first").map_or(text, |it| it.0).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(&["--base=HEAD"]),
        [
            "a.yaml:7:21: `added` and `standing` both reserve node `n1` 275 times",
            "y.yaml:7:21: `moved` and `added` both reserve node `n1` 275 times",
            "y.yaml:7:21: `moved` and `standing` both reserve node `n1` 275 times",
        ]
    );
    let fixed = repo.run(&["check", "--now=2027-03-01T00:00:00Z", "--base=HEAD", "--fix"]);
    assert_eq!(fixed.code, 0, "{}{}", fixed.stdout, fixed.stderr);
    assert_eq!(repo.git(&["status", "--short"]).trim(), "M y.yaml\n?? a.yaml", "nobody else's job is moved");
}

/// What two trees hold, but for what is the same in both, is their difference.
#[test]
fn the_difference_of_two_trees_is_what_reading_both_shows() {
    let world = World::new();
    let repo = world.repo("repo");
    let mut commits = vec![None];
    let mut commit = || commits.push(Some(repo.commit()));
    for index in 0..8 {
        repo.write(&format!("nodes/n{index}.yaml"), &node(&format!("n{index}"), "{ owner: ann }"));
    }
    repo.write("users/ann.yaml", &user("ann", "{}")).write("README.md", "x").write("a/b/c.yaml", "a: [");
    commit();
    repo.write("nodes/n3.yaml", "# Changed.\n").write("nodes/n8.yaml", "new").write("nodes/n0a.yaml", "new");
    commit();
    fs::remove_file(repo.path.join("nodes/n0.yaml")).unwrap();
    fs::remove_file(repo.path.join("nodes/n7.yaml")).unwrap();
    repo.write("README.md", "y");
    commit();
    // A folder in the place of a file, and a file in that of a folder.
    fs::remove_file(repo.path.join("nodes/n4.yaml")).unwrap();
    fs::remove_dir_all(repo.path.join("a/b")).unwrap();
    repo.write("nodes/n4.yaml/x.yaml", "x").write("a/b", "not a manifest");
    commit();
    repo.write(".almanacignore", "/nodes/\n");
    commit();
    repo.write(".almanacignore", "/users/\n").write("nodes/n5.yaml", "after");
    commit();
    std::os::unix::fs::symlink("n1.yaml", repo.path.join("nodes/link.yaml")).unwrap();
    commit();
    fs::remove_file(repo.path.join(".almanacignore")).unwrap();
    fs::create_dir(repo.path.join(".almanacignore")).unwrap();
    repo.write(".almanacignore/x", "x");
    commit();
    // Two names that are put into words alike.
    for byte in [0xfe, 0xff] {
        fs::write(repo.path.join(OsStr::from_bytes(&[b'n', byte, b'.', b'y', b'm', b'l'])), "x").unwrap();
        commit();
    }

    let git = git2::Repository::open(&repo.path).unwrap();
    let tree = |commit: &Option<String>| {
        let commit = commit.as_ref()?;
        Some(git.find_commit(commit.parse().unwrap()).unwrap().tree().unwrap())
    };
    // How often each is there.
    let keys = |sources: &[Arc<Source>]| {
        let mut files = BTreeSet::new();
        for source in sources {
            let same = |number: &usize| {
                !files.contains(&(source.path().to_owned(), source.text().to_owned(), *number))
            };
            let number = (0..).find(same).unwrap();
            files.insert((source.path().to_owned(), source.text().to_owned(), number));
        }
        files
    };
    let mut cache = Cache::default();
    for (from, to) in commits.iter().flat_map(|from| commits.iter().map(move |to| (from, to))) {
        let (before, after) = (tree(from), tree(to));
        let all = |tree: &Option<git2::Tree<'_>>| match tree {
            Some(tree) => keys(&read_tree(&git, tree, &mut Cache::default()).unwrap()),
            None => BTreeSet::new(),
        };
        let (old, new) = (all(&before), all(&after));
        let found = read_difference(&git, before.as_ref(), after.as_ref()).unwrap();
        let (gone, come) = (keys(&found.before), keys(&found.after));
        // More may be read than differs, when the list of what is passed over changed.
        assert!(gone.is_subset(&old) && come.is_subset(&new), "{from:?} {to:?}");
        let holds = |files: &BTreeSet<(String, String, usize)>, file: &(String, String, usize)| {
            files.contains(&(file.0.clone(), file.1.clone(), 0))
        };
        assert!(old.difference(&new).all(|file| holds(&gone, file)), "{from:?} {to:?}");
        assert!(new.difference(&old).all(|file| holds(&come, file)), "{from:?} {to:?}");
        // What was read of one tree leads to the other.
        for (tree, files) in [(&before, &old), (&after, &new)] {
            if let Some(tree) = tree {
                assert_eq!(&keys(&read_tree(&git, tree, &mut cache).unwrap()), files, "{from:?} {to:?}");
            }
        }
        if from == to {
            assert!(gone.is_empty() && come.is_empty(), "{from:?} {to:?}");
        }
    }
}
