//! Who answers for commits of others, and how.

use almanac_reconciler::store::FindingRow;

use super::branch::{Branch, short};

#[test]
fn a_trusted_key_of_the_configuration_may_do_what_an_admin_may() {
    let mut branch = Branch::new();
    branch.branch("side", "main");
    branch.edit("carol", 1);
    branch.commit("carol", "on a branch");
    branch.checkout("main");
    branch.edit("bob", 1);
    branch.commit("bob", "on the branch");
    let commit = branch.merge("forge", "side");
    let found = branch.findings();
    assert!(
        found.len() == 1 && found[0].contains(&format!("commit `{}` is signed with the key", short(&commit)))
    );
    branch.trust("forge");
    branch.accepts("forge");
    // A squash: one commit with the work of several.
    branch.edit("bob", 5);
    branch.edit("carol", 5);
    branch.commit("forge", "squashed");
    branch.accepts("forge");
    // What the side branch brought is not covered by it.
    branch.branch("wrong", "main");
    branch.edit("carol", 6);
    let wrong = branch.commit("bob", "not mine");
    branch.checkout("main");
    branch.merge("forge", "wrong");
    let found = branch.findings();
    assert!(found.len() == 1 && found[0].contains(&format!("commit `{}`", short(&wrong))), "{found:?}");
}

#[test]
fn an_admin_vouches_for_a_refused_commit() {
    let mut branch = Branch::new();
    branch.edit("carol", 1);
    let wrong = branch.commit("bob", "not mine");
    branch.edit("bob", 1);
    let unsigned = branch.bed.commit("unsigned");
    let vouch = |signer: &str, trailer: &str| branch.commit(signer, &format!("accept it\n\n{trailer}"));
    // To take it back does not take it out of the history.
    branch.signed("bob", &["revert", "--no-edit", &unsigned]);
    assert_eq!(branch.findings().len(), 2);
    // Only an admin can, for what is named, by enough of its hash.
    vouch("bob", &format!("Almanac-Vouch: {wrong}"));
    vouch("alice", "Almanac-Vouch: all");
    vouch("alice", &format!("Almanac-Vouch: {}", &wrong[..11]));
    vouch("alice", &format!("About: Almanac-Vouch: {wrong}"));
    let itself = branch.bed.commit(&format!("unsigned\n\nAlmanac-Vouch: {wrong}"));
    assert_eq!(branch.findings().len(), 3);
    // Who vouches in vain is told so, where it is told what is wrong.
    let by_bob = branch.git(&["rev-parse", "HEAD~4"]);
    let notes = branch.notes(&wrong);
    assert_eq!(
        notes,
        [
            format!(
                "`bob` vouches for it by commit `{}`, which does not count: `bob` is no admin",
                short(&by_bob)
            ),
            format!(
                "commit `{}` vouches for it, which does not count: its own signature does not",
                short(&itself)
            ),
        ]
    );
    let (verified, _) = branch.verified();
    let finding = verified.findings.iter().find(|finding| finding.notes == notes).unwrap();
    let recorded = FindingRow::of(finding, "").message;
    assert_eq!(recorded, format!("{}; {}; {}", finding.message, notes[0], notes[1]));
    assert_eq!(branch.notes(&unsigned), Vec::<String>::new());
    branch.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    vouch("alice", &format!("Almanac-Vouch: {wrong}"));
    let found = branch.findings();
    assert_eq!(found, [format!("commit-signature: commit `{}` is not signed", short(&unsigned))]);
    vouch("alice", &format!("Almanac-Vouch: {}", short(&unsigned)));
    branch.accepts("alice");
    // In the commit that reverts it, and by a trusted key.
    branch.trust("forge");
    branch.edit("carol", 3);
    let again = branch.commit("bob", "not mine either");
    branch.git(&["revert", "--no-commit", &again]);
    branch.commit("forge", &format!("take it back\n\nAlmanac-Vouch: {again}\nAlmanac-Vouch: {unsigned}"));
    branch.accepts("forge");
}

#[test]
fn nobody_vouches_by_a_right_that_a_refused_commit_gives_them() {
    let branch = Branch::new();
    branch.declare("mallory", "admin", "mallory");
    let grant = branch.bed.commit("an admin");
    let vouching = branch.commit("mallory", &format!("accept it\n\nAlmanac-Vouch: {grant}"));
    assert_eq!(branch.findings(), [format!("commit-signature: commit `{}` is not signed", short(&grant))]);
    let note = format!(
        "`mallory` vouches for it by commit `{}`, which does not count: `mallory` is no admin by what is in force",
        short(&vouching)
    );
    assert_eq!(branch.notes(&grant), [note]);
    // Nor by one that was taken since.
    let mut branch = Branch::new();
    branch.declare("dan", "admin", "mallory");
    branch.applied = branch.bed.commit("in force");
    branch.declare("dan", "user", "mallory");
    branch.commit("alice", "an admin no more");
    branch.edit("bob", 1);
    let wrong = branch.bed.commit("unsigned");
    branch.commit("mallory", &format!("accept it\n\nAlmanac-Vouch: {wrong}"));
    assert_eq!(branch.findings(), [format!("commit-signature: commit `{}` is not signed", short(&wrong))]);
}

#[test]
fn a_refused_commit_may_be_taken_out_of_the_branch() {
    let branch = Branch::new();
    branch.edit("carol", 1);
    branch.commit("bob", "not mine");
    assert_eq!(branch.findings().len(), 1);
    branch.git(&["reset", "--quiet", "--hard", &branch.applied]);
    assert_eq!(branch.findings(), Vec::<String>::new());
    branch.edit("bob", 1);
    branch.commit("bob", "mine");
    branch.accepts("bob");
}
