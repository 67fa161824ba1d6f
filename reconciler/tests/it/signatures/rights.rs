//! When keys and settings count that commits themselves change.

use super::branch::{Branch, CONFIG, short};
use crate::harness::manifest;

#[test]
fn a_key_counts_from_the_commit_after_the_one_that_adds_it() {
    let branch = Branch::new();
    // Somebody adds their key with that key.
    branch.declare("mallory", "user", "mallory");
    let commit = branch.commit("mallory", "here I am");
    let found = branch.findings();
    assert!(found[0].starts_with(&format!(
        "commit-signature: commit `{}` is signed with the key SHA256:",
        short(&commit)
    )));
    assert!(found[0].ends_with(", which no user had declared before it"), "{found:?}");
    // An admin adds it, and then it counts.
    branch.signed("alice", &["commit", "--quiet", "--amend", "--no-edit"]);
    branch.bed.write("jobs/own.yaml", manifest::job("own", "mallory", "paris-01", manifest::HOURLY));
    branch.commit("mallory", "a job");
    branch.accepts("mallory");
    // So does a right, and only then.
    branch.declare("mallory", "admin", "mallory");
    let commit = branch.commit("mallory", "more rights");
    assert_eq!(
        branch.findings(),
        [format!(
            "ownership: commit `{}` is signed by `mallory`, who may not change `spec.role` of their own user at users/mallory.yaml:4",
            short(&commit)
        )]
    );
    branch.signed("alice", &["commit", "--quiet", "--amend", "--no-edit"]);
    branch.edit("bob", 1);
    branch.commit("mallory", "as an admin");
    branch.accepts("mallory");
}

#[test]
fn a_key_counts_no_more_once_it_is_removed() {
    let branch = Branch::new();
    // Bob exchanges his key, signed with the old one.
    branch.declare("bob", "user", "mallory");
    branch.commit("bob", "another key");
    branch.accepts("bob");
    branch.edit("bob", 1);
    let commit = branch.commit("bob", "with the old key");
    let found = branch.findings();
    assert!(
        found.len() == 1 && found[0].contains(&format!("commit `{}` is signed with the key", short(&commit))),
        "{found:?}"
    );
    branch.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    branch.edit("bob", 1);
    branch.commit("mallory", "with the new key");
    branch.accepts("bob");
}

#[test]
fn a_key_of_two_users_is_nobodys() {
    let branch = Branch::new();
    branch.declare("dan", "user", "bob");
    branch.commit("alice", "the same key");
    branch.edit("bob", 1);
    let commit = branch.commit("bob", "who is it?");
    let found = branch.findings();
    assert!(
        found.len() == 1 && found[0].contains(&format!("commit `{}` is signed with the key", short(&commit))),
        "{found:?}"
    );
    assert!(found[0].ends_with(", which `bob` and `dan` had declared before it"), "{found:?}");
}

#[test]
fn a_key_of_a_node_signs_no_commit() {
    let branch = Branch::new();
    branch.edit("bob", 1);
    branch.commit("london-01", "by a node");
    assert!(branch.findings()[0].ends_with("which no user had declared before it"));
}

#[test]
fn the_settings_in_force_decide_and_no_commit_switches_them_off_for_itself() {
    let branch = Branch::new();
    branch.bed.write("config.yaml", CONFIG.replace("true", "false"));
    let off = branch.commit("bob", "no signatures any more");
    branch.edit("bob", 1);
    let next = branch.bed.commit("and none here");
    assert_eq!(
        branch.findings(),
        [
            format!(
                "ownership: commit `{}` is signed by `bob`, who may not change the settings at config.yaml:4",
                short(&off)
            ),
            format!("commit-signature: commit `{}` is not signed", short(&next)),
        ]
    );
}

#[test]
fn what_is_hidden_and_shown_is_a_change() {
    let branch = Branch::new();
    branch.bed.write(".almanacignore", "jobs/carol.yaml\n");
    branch.commit("bob", "out of sight");
    let found = branch.findings();
    assert!(
        found.len() == 1 && found[0].contains("who may not remove the job `carol` of `carol`"),
        "{found:?}"
    );
}
