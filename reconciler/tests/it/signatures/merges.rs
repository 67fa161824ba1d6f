//! What a merge answers for, and what the commits that it brings in.

use std::fs;

use super::branch::{Branch, short};
use crate::harness::manifest;

#[test]
fn a_merge_is_not_held_responsible_for_what_others_did_on_either_branch() {
    let branch = Branch::new();
    branch.branch("side", "main");
    branch.edit("carol", 1);
    branch.commit("carol", "on a branch");
    branch.checkout("main");
    branch.edit("bob", 1);
    branch.commit("bob", "on the other");
    branch.merge("bob", "side");
    branch.accepts("bob");
    // Files that both change and Git merges are in order, too.
    let two = |first: u8, second: u8| {
        let job = |name: &str, owner: &str, minute: u8| {
            let schedule = manifest::HOURLY.replace("\"0 *", &format!("\"{minute} *"));
            manifest::job(name, owner, "paris-01", &schedule)
        };
        format!("{}---\n{}", job("one", "bob", first), job("two", "carol", second))
    };
    branch.bed.write("jobs/both.yaml", two(1, 2));
    branch.commit("alice", "two in a file");
    branch.branch("other", "main");
    branch.bed.write("jobs/both.yaml", two(1, 9));
    branch.commit("carol", "the second");
    branch.checkout("main");
    branch.bed.write("jobs/both.yaml", two(9, 2));
    branch.commit("bob", "the first");
    branch.merge("bob", "other");
    branch.accepts("bob");
}

#[test]
fn commits_that_a_merge_brings_in_are_judged_each() {
    let branch = Branch::new();
    branch.branch("side", "main");
    branch.edit("carol", 1);
    let wrong = branch.commit("bob", "not mine");
    branch.edit("bob", 1);
    let none = branch.bed.commit("unsigned");
    branch.checkout("main");
    branch.merge("alice", "side");
    let mut found = branch.findings();
    found.sort_unstable();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains(&format!("commit `{}` is not signed", short(&none))), "{found:?}");
    assert!(
        found[1].contains(&format!("commit `{}` is signed by `bob`, who may not", short(&wrong))),
        "{found:?}"
    );
}

/// What a side branch says about rights is worth nothing before it is merged.
#[test]
fn nobody_grants_themselves_a_right_on_a_side_branch() {
    let branch = Branch::new();
    branch.branch("side", "main");
    branch.declare("mallory", "admin", "mallory");
    branch.commit("alice", "an admin, some day");
    branch.edit("bob", 1);
    let early = branch.commit("mallory", "at once");
    branch.checkout("main");
    branch.merge("alice", "side");
    let found = branch.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(&format!("commit `{}` is signed with the key", short(&early))), "{found:?}");
    // After the merge it counts.
    branch.git(&["reset", "--quiet", "--hard", "main~1"]);
    branch.merge("alice", "side~1");
    branch.edit("bob", 1);
    branch.commit("mallory", "in order");
    branch.accepts("mallory");
}

/// A branch that was left long ago keeps no rights that were taken away since.
#[test]
fn a_side_branch_keeps_no_right() {
    let mut branch = Branch::new();
    branch.declare("dan", "admin", "mallory");
    branch.applied = branch.bed.commit("in force as well");
    branch.branch("side", "main");
    branch.edit("bob", 1);
    let old = branch.commit("mallory", "as an admin of old");
    branch.checkout("main");
    branch.declare("dan", "user", "mallory");
    branch.commit("alice", "an admin no more");
    branch.merge("alice", "side");
    let expected = format!("commit `{}` is signed by `dan`, who may not change the job `bob`", short(&old));
    let found = branch.findings();
    assert!(found.len() == 1 && found[0].contains(&expected), "{found:?}");

    // The other way round: the branch goes on from the side branch, and the old line comes in.
    branch.applied = branch.git(&["rev-parse", "main~1"]);
    branch.checkout("side");
    branch.edit("carol", 7);
    let later = branch.commit("mallory", "still");
    branch.merge("mallory", "main~1");
    let found = branch.findings();
    assert_eq!(found.len(), 2, "{found:?}");
    for commit in [old, later] {
        let expected = format!("commit `{}` is signed by `dan`, who may not change", short(&commit));
        assert!(found.iter().any(|found| found.contains(&expected)), "{found:?}");
    }
}

#[test]
fn what_a_merge_adds_to_its_parents_is_its_own() {
    let branch = Branch::new();
    branch.branch("side", "main");
    branch.edit("carol", 1);
    branch.commit("carol", "on a branch");
    branch.checkout("main");
    branch.edit("bob", 1);
    branch.commit("bob", "on the other");
    let refused = |branch: &Branch, what: &str| {
        let commit = branch.commit("bob", "a merge");
        assert!(branch.git(&["cat-file", "commit", &commit]).matches("\nparent ").count() == 2, "{what}");
        let found = branch.findings();
        let expected = format!("commit `{}` is signed by `bob`, who may not", short(&commit));
        assert!(
            !found.is_empty() && found.iter().all(|found| found.contains(&expected)),
            "{what}: {found:?}"
        );
        branch.git(&["reset", "--quiet", "--hard", "main~1"]);
    };
    // A change of its own.
    branch.begin_merge("side");
    branch.edit("carol", 2);
    refused(&branch, "a change in neither branch");
    // What the side branch brings is left out.
    branch.begin_merge("side");
    branch.git(&["checkout", "--quiet", "main", "--", "jobs/carol.yaml"]);
    refused(&branch, "a change that is left out");
    // A new admin on the way.
    branch.begin_merge("side");
    branch.declare("mallory", "admin", "mallory");
    refused(&branch, "a change beside both");
    // His own he may change in a merge too.
    branch.begin_merge("side");
    branch.edit("bob", 2);
    branch.commit("bob", "a merge");
    branch.accepts("bob");
}

#[test]
fn conflicts_are_resolved_by_whoever_may_change_the_file() {
    let branch = Branch::new();
    branch.branch("side", "main");
    branch.edit("carol", 1);
    branch.commit("carol", "one way");
    branch.checkout("main");
    branch.edit("carol", 2);
    branch.commit("carol", "another way");
    branch.edit("bob", 1);
    branch.commit("bob", "beside it");
    branch.begin_merge("side");
    branch.edit("carol", 3);
    branch.commit("carol", "resolved");
    branch.accepts("carol");
    branch.git(&["reset", "--quiet", "--hard", "main~1"]);
    for hour in [1, 2, 3] {
        // Whether one side wins or none.
        branch.begin_merge("side");
        branch.edit("carol", hour);
        let commit = branch.commit("bob", "resolved");
        let found = branch.findings();
        let expected =
            format!("commit `{}` is signed by `bob`, who may not change the job `carol`", short(&commit));
        assert!(found.iter().any(|found| found.contains(&expected)), "{hour}: {found:?}");
        branch.git(&["reset", "--quiet", "--hard", "main~1"]);
    }
}

#[test]
fn a_file_in_the_place_of_a_folder_is_a_conflict_like_others() {
    let branch = Branch::new();
    let own = |path: &str, name: &str| {
        branch.bed.write(path, manifest::job(name, "bob", "paris-01", manifest::HOURLY));
    };
    branch.branch("side", "main");
    own("jobs/new.yaml", "one");
    branch.commit("bob", "a file");
    branch.edit("carol", 1);
    branch.commit("carol", "beside it");
    branch.checkout("main");
    own("jobs/new.yaml/two.yaml", "two");
    branch.commit("bob", "a folder");
    let resolve = |signer: &str| {
        branch.begin_merge("side");
        let _ = fs::remove_file(branch.bed.repo().join("jobs/new.yaml~side"));
        branch.commit(signer, "both of them")
    };
    resolve("alice");
    branch.accepts("alice");
    branch.git(&["reset", "--quiet", "--hard", "main~1"]);
    resolve("bob");
    // Whether Git can tell what is whose or not, nothing of carol's is changed by accident.
    // Of carol's nothing was changed on the way, and what he left out is his own.
    branch.accepts("bob");
}

#[test]
fn a_merge_of_three_is_for_admins() {
    let branch = Branch::new();
    for (name, hour) in [("bob", 1), ("carol", 2)] {
        branch.branch(name, "main");
        branch.edit(name, hour);
        branch.commit(name, "on a branch");
        branch.checkout("main");
    }
    branch.edit("bob", 1);
    branch.commit("bob", "on the branch");
    branch.signed("bob", &["merge", "--quiet", "--no-edit", "bob", "carol"]);
    assert!(branch.findings()[0].contains("is signed by `bob`, who may not"), "{:?}", branch.findings());
    branch.signed("alice", &["commit", "--quiet", "--amend", "--no-edit"]);
    branch.accepts("alice");
}
