//! Signed commits: made by `git commit -S` with real keys, and judged from what is in force to a head.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use almanac_proto::v1::{self, SyncOutcome};
use almanac_reconciler::{
    signatures::{Change, TrustedKey, Verified, verify},
    store::FindingRow,
};
use almanac_validate::{
    Report, Source, check,
    render::human::{Style, human},
    revision::{Cache, read_tree},
};
use chrono::Utc;

use crate::{
    bed::{Bed, job},
    harness::manifest,
};

const CONFIG: &str = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { commits: { requireSigned: true } }\n";

/// A repository in which signatures are required, with an admin `alice`, users `bob` and `carol` with a
/// job each, and keys of `mallory` and `forge`, whom nobody has declared.
struct Branch {
    bed: Bed,
    /// The commit in force.
    applied: String,
    trusted: Vec<TrustedKey>,
}

impl Branch {
    fn new() -> Self {
        let bed = Bed::new();
        for name in ["mallory", "forge"] {
            bed.key(name);
        }
        bed.write("config.yaml", CONFIG);
        for name in ["bob", "carol"] {
            bed.write(&format!("jobs/{name}.yaml"), manifest::job(name, name, "london-01", manifest::HOURLY));
        }
        let applied = bed.commit("in force");
        Self { bed, applied, trusted: Vec::new() }
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.bed.git(arguments)
    }

    /// Runs Git so that what it commits is signed.
    fn signed(&self, signer: &str, arguments: &[&str]) -> String {
        let key = format!("user.signingKey={}", self.bed.path().join(signer).display());
        self.git(&[&["-c", "gpg.format=ssh", "-c", &key, "-c", "commit.gpgSign=true"], arguments].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits all files, signed by somebody.
    fn commit(&self, signer: &str, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.signed(signer, &["commit", "--quiet", "--allow-empty", "-m", message])
    }

    /// Moves a user's job to another hour of the day.
    fn edit(&self, job: &str, hour: u32) {
        let schedule = manifest::DAILY.replace("0 12", &format!("0 {hour}"));
        self.bed.write(&format!("jobs/{job}.yaml"), manifest::job(job, job, "london-01", &schedule));
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.bed.path().join(format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    fn declare(&self, name: &str, role: &str, key: &str) {
        self.bed.write(&format!("users/{name}.yaml"), manifest::user(name, role, &self.public(key)));
    }

    fn trust(&mut self, name: &str) {
        self.trusted.push(TrustedKey { name: name.to_owned(), key: self.public(name).parse().unwrap() });
    }

    fn read(&self, git: &git2::Repository, commit: &str, cache: &mut Cache) -> Vec<Arc<Source>> {
        let tree = git.find_commit(commit.parse().unwrap()).unwrap().tree().unwrap();
        read_tree(git, &tree, cache).unwrap()
    }

    fn verified(&self) -> (Verified, Vec<Arc<Source>>) {
        let git = git2::Repository::open(self.bed.repo()).unwrap();
        let mut cache = Cache::default();
        let in_force = self.read(&git, &self.applied, &mut cache);
        let testbed = Arc::clone(check(&in_force, Utc::now()).testbed().unwrap());
        let head = self.git(&["rev-parse", "HEAD"]);
        let sources = self.read(&git, &head, &mut cache);
        let change = Change {
            applied: &self.applied,
            testbed: &testbed,
            head: &head,
            sources: &sources,
            trusted: &self.trusted,
        };
        let objects = self.git(&["count-objects"]);
        let verified = verify(&git, "", &mut cache, &change).unwrap();
        assert_eq!(self.git(&["count-objects"]), objects, "nothing is written to the repository");
        (verified, sources)
    }

    /// What is found, in one line each: rule, message, place.
    fn findings(&self) -> Vec<String> {
        let (verified, _) = self.verified();
        let line = |finding: almanac_validate::Finding| {
            let place = finding.location.map(|at| format!(" at {}:{}", at.file, at.line));
            format!("{}: {}{}", finding.rule, finding.message, place.unwrap_or_default())
        };
        verified.findings.into_iter().map(line).collect()
    }

    /// What one has to know to understand why a commit is refused.
    fn notes(&self, commit: &str) -> Vec<String> {
        let (verified, _) = self.verified();
        let start = format!("commit `{}` ", short(commit));
        let found = verified.findings.into_iter().find(|finding| finding.message.starts_with(&start));
        found.unwrap().notes
    }

    #[track_caller]
    fn accepts(&self, signer: &str) {
        let (verified, _) = self.verified();
        assert_eq!(verified.findings, []);
        assert_eq!(verified.signer.as_deref(), Some(signer));
    }

    /// Replaces the head by the commit that an edit of its object makes.
    fn forge(&self, edit: impl FnOnce(String) -> String) -> String {
        // `cat-file` through `git` would be trimmed.
        let git = git2::Repository::open(self.bed.repo()).unwrap();
        let head = git.head().unwrap().peel_to_commit().unwrap().id();
        let object = String::from_utf8(git.odb().unwrap().read(head).unwrap().data().to_vec()).unwrap();
        let mut child = Command::new("git")
            .current_dir(self.bed.repo())
            .args(["hash-object", "-t", "commit", "-w", "--stdin", "--literally"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(edit(object).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        self.git(&["update-ref", "HEAD", &id]);
        id
    }

    /// A signature of some bytes for a namespace, as a header.
    fn header(&self, signer: &str, namespace: &str, bytes: &str) -> String {
        let file = self.bed.path().join("to-sign");
        fs::write(&file, bytes).unwrap();
        let _ = fs::remove_file(file.with_extension("sig"));
        keygen(&[
            "-Y".as_ref(),
            "sign".as_ref(),
            "-n".as_ref(),
            namespace.as_ref(),
            "-f".as_ref(),
            &self.bed.path().join(signer),
            &file,
        ]);
        let signature = fs::read_to_string(file.with_extension("sig")).unwrap();
        format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "))
    }

    fn branch(&self, name: &str, from: &str) {
        self.git(&["checkout", "--quiet", "-b", name, from]);
    }

    fn checkout(&self, name: &str) {
        self.git(&["checkout", "--quiet", name]);
    }

    /// Merges a branch into the one that is checked out.
    fn merge(&self, signer: &str, branch: &str) -> String {
        self.signed(signer, &["merge", "--quiet", "--no-ff", "--no-edit", branch])
    }

    /// Merges and leaves the commit to be made.
    fn begin_merge(&self, branch: &str) {
        // With conflicts it fails, as it should.
        let _ = Command::new("git")
            .current_dir(self.bed.repo())
            .args(["merge", "--quiet", "--no-ff", "--no-commit", branch])
            .output()
            .unwrap();
    }
}

fn keygen(arguments: &[&Path]) {
    let output = Command::new("ssh-keygen").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn short(commit: &str) -> &str {
    &commit[..12]
}

/// Takes the signature out of a commit object; returns it as a header, and the rest.
fn unsigned(object: &str) -> (String, String) {
    let start = object.find("gpgsig ").unwrap();
    let end = start + object[start..].find("-----END SSH SIGNATURE-----\n").unwrap() + 28;
    // Git may end the signature with an empty continuation line.
    let end = if object[end..].starts_with(" \n") { end + 2 } else { end };
    (object[start..end].to_owned(), format!("{}{}", &object[..start], &object[end..]))
}

fn signed_with(header: &str, object: &str) -> String {
    object.replacen("\n\n", &format!("\n{header}\n"), 1)
}

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

#[test]
fn only_an_admin_takes_back_what_is_in_force() {
    let mut branch = Branch::new();
    let old = branch.applied.clone();
    branch.declare("bob", "user", "mallory");
    branch.applied = branch.commit("bob", "another key");
    let (before, applied) = (short(&old).to_owned(), short(&branch.applied).to_owned());
    // Whoever may push goes back to when the old key counted.
    branch.git(&["reset", "--quiet", "--hard", &old]);
    let rewritten = |head: &str| {
        format!(
            "commit-signature: the branch was rewritten: its head `{head}` does not contain `{applied}`, which is in force, and is not signed by an admin"
        )
    };
    assert_eq!(branch.findings(), [rewritten(&before)]);
    branch.edit("bob", 1);
    let commit = branch.commit("bob", "with the old key");
    let found = branch.findings();
    assert_eq!((found.len(), &found[0]), (2, &rewritten(short(&commit))), "{found:?}");
    branch.git(&["reset", "--quiet", "--hard", &old]);
    branch.commit("alice", "back to it");
    branch.accepts("alice");
    // A history that has nothing in common with it.
    branch.git(&["checkout", "--quiet", "--orphan", "new"]);
    let commit = branch.commit("mallory", "all anew");
    let found = branch.findings();
    assert_eq!(found[0], rewritten(short(&commit)));
    assert!(
        found.iter().any(|found| found.contains("who may not add the user `alice`")
            || found.contains("who may not change")),
        "{found:?}"
    );
    branch.signed("alice", &["commit", "--quiet", "--amend", "--no-edit"]);
    branch.accepts("alice");
    // The commit in force need not be there any more.
    let git = git2::Repository::open(branch.bed.repo()).unwrap();
    let mut cache = Cache::default();
    let sources = branch.read(&git, &branch.git(&["rev-parse", "HEAD"]), &mut cache);
    let testbed = Arc::clone(check(&sources, Utc::now()).testbed().unwrap());
    let head = branch.git(&["rev-parse", "HEAD"]);
    let (applied, trusted) = ("1".repeat(40), []);
    let change =
        Change { applied: &applied, testbed: &testbed, head: &head, sources: &sources, trusted: &trusted };
    let verified = verify(&git, "", &mut cache, &change).unwrap();
    assert_eq!((verified.signer.as_deref(), verified.findings), (Some("alice"), Vec::new()));
}

#[test]
fn too_many_commits_are_said_to_be() {
    let branch = Branch::new();
    let mut input = format!("reset refs/heads/long\nfrom {}\n\n", branch.applied);
    for _ in 0..10_001 {
        input += "commit refs/heads/long\ncommitter a <a> 0 +0000\ndata 1\nx\n";
    }
    let mut child = Command::new("git")
        .current_dir(branch.bed.repo())
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    branch.checkout("long");
    let found = branch.findings();
    assert!(found.len() == 1 && found[0].contains("more than 10000 commits lead from"), "{found:?}");
    branch.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let found = branch.findings();
    assert_eq!(found.len(), 201);
    assert_eq!(found[200], "commit-signature: 9800 more findings about commits are not shown");
}

/// From a push to what is in force, by the running reconciler.
#[tokio::test]
async fn what_is_in_force_changes_by_signed_commits_alone() {
    let mut branch = Branch::new();
    branch.trust("forge");
    // Whoever switches it on needs no signature yet.
    branch.git(&["rm", "--quiet", "config.yaml"]);
    branch.bed.write("jobs/alice.yaml", job("alice", "london-01").replace("owner: bob", "owner: alice"));
    let first = branch.bed.commit("nothing is required");
    let mut settings = branch.bed.serve_settings();
    settings.common.trusted_keys.clone_from(&branch.trusted);
    branch.bed.start_with(settings).await;
    branch.bed.applied(&first).await;
    branch.bed.write("config.yaml", CONFIG);
    let on = branch.bed.commit("signatures are required");
    branch.bed.applied(&on).await;

    let hour = |minute: u32| {
        crate::bed::job_at_minute("alice", "london-01", minute).replace("owner: bob", "owner: alice")
    };
    branch.bed.write("jobs/alice.yaml", hour(5));
    let good = branch.commit("alice", "her own");
    branch.bed.applied(&good).await;

    branch.bed.write("jobs/alice.yaml", hour(6));
    let wrong = branch.commit("bob", "not his");
    let sync = branch.bed.looked_at(&wrong).await;
    assert_eq!(sync.sync.as_ref().unwrap().outcome(), SyncOutcome::Rejected);
    let [finding] = sync.findings.as_slice() else { panic!("{sync:?}") };
    assert_eq!((finding.rule.as_str(), finding.file.as_str()), ("ownership", "jobs/alice.yaml"));
    let expected =
        format!("commit `{}` is signed by `bob`, who may not change the job `alice`", short(&wrong));
    assert!(finding.message.starts_with(&expected), "{finding:?}");

    // It stays in the history, so a commit on top does not help, and what is in force stays.
    branch.git(&["revert", "--no-edit", &wrong]);
    let reverted = branch.git(&["rev-parse", "HEAD"]);
    let sync = branch.bed.looked_at(&reverted).await;
    let rules: BTreeMap<&str, usize> = sync.findings.iter().fold(BTreeMap::new(), |mut rules, finding| {
        *rules.entry(finding.rule.as_str()).or_default() += 1;
        rules
    });
    assert_eq!(rules, BTreeMap::from([("commit-signature", 1), ("ownership", 1)]));
    let status = branch.bed.alice().get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.applied_commit, good);

    let vouch = format!("it is taken back\n\nAlmanac-Vouch: {wrong}\nAlmanac-Vouch: {reverted}");
    let vouched = branch.commit("alice", &vouch);
    branch.bed.applied(&vouched).await;
    branch.edit("carol", 1);
    branch.edit("bob", 1);
    let merged = branch.commit("forge", "squashed");
    branch.bed.applied(&merged).await;
}
