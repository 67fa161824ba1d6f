//! Whose a commit is, and what its signer may change.

use std::path::Path;

use almanac_validate::{
    Report,
    render::human::{Style, human},
};

use super::branch::{Branch, keygen, short, signed_with, unsigned};

#[test]
fn signed_changes_of_what_is_ones_own_are_accepted() {
    let branch = Branch::new();
    assert_eq!(branch.findings(), Vec::<String>::new(), "nothing happened yet");
    branch.edit("bob", 1);
    branch.commit("bob", "by bob");
    branch.accepts("bob");
    branch.edit("carol", 1);
    branch.commit("carol", "by carol");
    branch.edit("bob", 2);
    branch.edit("carol", 2);
    branch.commit("alice", "by the admin");
    branch.accepts("alice");
}

#[test]
fn a_change_of_what_is_others_names_commit_signer_and_rule() {
    let branch = Branch::new();
    branch.edit("carol", 1);
    let commit = branch.commit("bob", "by bob");
    let (verified, sources) = branch.verified();
    assert_eq!(verified.signer.as_deref(), Some("bob"));
    let mut report = Report::default();
    report.add(verified.findings);
    assert!(!report.sound);
    let shown = human(&report, &sources, Path::new(""), Style::Plain).replace(short(&commit), "0123456789ab");
    let expected = "\
error[ownership]: commit `0123456789ab` is signed by `bob`, who may not change the job `carol` of `carol`
 --> jobs/carol.yaml:7:21
  |
7 |   schedule: { cron: \"0 1 * * *\", start: 2030-01-01T00:00:00Z, end: 2031-01-01T00:00:00Z, length: 1m }
  |                     ^^^^^^^^^^^
  |
  = help: `carol` may, or an admin (`alice`); take the commit out of the branch, or an admin (`alice`) vouches for it, by a signed commit on top with the trailer `Almanac-Vouch: 0123456789ab`
";
    assert!(shown.starts_with(expected), "{shown}");
    // Where the file is another by now, its lines are others too.
    branch.bed.write("jobs/carol.yaml", "# Later.\n");
    branch.commit("alice", "by the admin");
    let found = branch.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(" at jobs/carol.yaml:1"), "{found:?}");
}

/// The page of the rule shows what happens.
#[test]
fn the_page_of_the_rule_is_true() {
    let branch = Branch::new();
    branch.edit("bob", 1);
    let commit = branch.bed.commit("by whomever");
    let (verified, sources) = branch.verified();
    assert_eq!(verified.signer, None);
    let mut report = Report::default();
    report.add(verified.findings);
    let shown = human(&report, &sources, Path::new(""), Style::Plain).replace(short(&commit), "0123456789ab");
    let page = almanac_validate::Rule::CommitSignature.page();
    let text = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(shown.starts_with(text), "{shown}");
    branch.signed("bob", &["commit", "--quiet", "--amend", "--no-edit", "-S"]);
    branch.accepts("bob");
}

#[test]
fn only_the_key_says_who_it_was() {
    let branch = Branch::new();
    branch.edit("carol", 1);
    branch.git(&["add", "--all"]);
    let commit = branch.signed(
        "bob",
        &[
            "-c",
            "user.name=alice",
            "commit",
            "--quiet",
            "--author=alice <alice@example.org>",
            "-m",
            "by alice",
        ],
    );
    let found = branch.findings();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains(&format!("commit `{}` is signed by `bob`, who may not", short(&commit))),
        "{found:?}"
    );
}

/// What is made of the object of a commit.
type Forgery = fn(&Branch, String) -> String;

#[test]
fn signatures_that_are_none() {
    let cases: [(&str, Forgery, &str); 11] = [
        ("no signature", |_, object| unsigned(&object).1, "is not signed"),
        (
            "OpenPGP",
            |_, object| {
                let pgp = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iHUEABYKAB0WIQ\n -----END PGP SIGNATURE-----\n";
                signed_with(pgp, &unsigned(&object).1)
            },
            "is signed with OpenPGP and not with an SSH key",
        ),
        (
            "garbage",
            |_, object| {
                let garbage =
                    "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lHnonsense\n -----END SSH SIGNATURE-----\n";
                signed_with(garbage, &unsigned(&object).1)
            },
            "carries a signature that cannot be read as one by an `ssh-ed25519` key",
        ),
        (
            "wrong namespace",
            |branch, object| {
                let object = unsigned(&object).1;
                signed_with(&branch.header("alice", "file", &object), &object)
            },
            "carries a signature for `file`, where one for `git` is expected",
        ),
        (
            "another message",
            |_, object| object.replace("by alice", "by malice"),
            "that is not of this commit, or the commit was changed since",
        ),
        (
            "another tree",
            |branch, object| {
                let (tree, other) =
                    (branch.git(&["rev-parse", "HEAD^{tree}"]), branch.git(&["rev-parse", "HEAD~1^{tree}"]));
                object.replace(&tree, &other)
            },
            "that is not of this commit, or the commit was changed since",
        ),
        (
            "a signature of the commit before",
            |branch, object| {
                let before = branch.git(&["cat-file", "commit", "HEAD~1"]) + "\n";
                signed_with(&unsigned(&before).0, &unsigned(&object).1)
            },
            "that is not of this commit, or the commit was changed since",
        ),
        (
            "a header more",
            |_, object| object.replacen("\n\n", "\nencoding latin-1\n\n", 1),
            "that is not of this commit, or the commit was changed since",
        ),
        (
            "another parent",
            |branch, object| {
                let root = branch.git(&["rev-parse", "HEAD~2"]);
                object.replacen("\nauthor", &format!("\nparent {root}\nauthor"), 1)
            },
            "that is not of this commit, or the commit was changed since",
        ),
        (
            "two signatures",
            |_, object| {
                let (header, _) = unsigned(&object);
                signed_with(&header, &object)
            },
            "carries more than one signature",
        ),
        ("a hidden end", |_, object| format!("{object}\0\nAlmanac-Vouch: 0\n"), "holds a NUL byte"),
    ];
    for (what, edit, expected) in cases {
        let branch = Branch::new();
        branch.edit("carol", 1);
        branch.commit("alice", "by alice as well");
        branch.edit("bob", 1);
        branch.commit("alice", "by alice");
        let commit = branch.forge(|object| edit(&branch, object));
        let found = branch.findings();
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        let start = format!("commit-signature: commit `{}` ", short(&commit));
        assert!(found[0].starts_with(&start) && found[0].contains(expected), "{what}: {found:?}");
    }
}

#[test]
fn a_signature_in_the_message_is_text() {
    let branch = Branch::new();
    branch.edit("bob", 1);
    branch.commit("alice", "by alice");
    // Nothing that is signed is changed, and yet it is not where Git looks.
    let commit = branch.forge(|object| {
        let (header, object) = unsigned(&object);
        format!("{object}{header}")
    });
    assert_eq!(branch.findings(), [format!("commit-signature: commit `{}` is not signed", short(&commit))]);
}

#[test]
fn keys_of_another_algorithm_do_not_count() {
    let branch = Branch::new();
    let cases = [
        ("rsa", "is signed with a key of type `ssh-rsa`, and only `ssh-ed25519` counts"),
        ("ecdsa", "carries a signature that cannot be read as one by an `ssh-ed25519` key"),
    ];
    for (algorithm, expected) in cases {
        let key = branch.bed.path().join(algorithm);
        keygen(&[
            "-q".as_ref(),
            "-t".as_ref(),
            algorithm.as_ref(),
            "-N".as_ref(),
            "".as_ref(),
            "-f".as_ref(),
            &key,
        ]);
        branch.git(&["reset", "--quiet", "--hard", &branch.applied]);
        branch.edit("bob", 1);
        let commit = branch.commit(algorithm, "by another key");
        assert_eq!(branch.findings(), [format!("commit-signature: commit `{}` {expected}", short(&commit))]);
    }
}
