//! A branch on which everybody signs, and what is done to it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use almanac_reconciler::signatures::{Change, TrustedKey, Verified, verify};
use almanac_validate::{
    Source, check,
    revision::{Cache, read_tree},
};
use chrono::Utc;

use crate::{bed::Bed, harness::manifest};

pub(super) const CONFIG: &str = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { commits: { requireSigned: true } }\n";

/// A repository in which signatures are required, with an admin `alice`, users `bob` and `carol` with a
/// job each, and keys of `mallory` and `forge`, whom nobody has declared.
pub(super) struct Branch {
    pub(super) bed: Bed,
    /// The commit in force.
    pub(super) applied: String,
    pub(super) trusted: Vec<TrustedKey>,
}

impl Branch {
    pub(super) fn new() -> Self {
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

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        self.bed.git(arguments)
    }

    /// Runs Git so that what it commits is signed.
    pub(super) fn signed(&self, signer: &str, arguments: &[&str]) -> String {
        let key = format!("user.signingKey={}", self.bed.path().join(signer).display());
        self.git(&[&["-c", "gpg.format=ssh", "-c", &key, "-c", "commit.gpgSign=true"], arguments].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits all files, signed by somebody.
    pub(super) fn commit(&self, signer: &str, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.signed(signer, &["commit", "--quiet", "--allow-empty", "-m", message])
    }

    /// Moves a user's job to another hour of the day.
    pub(super) fn edit(&self, job: &str, hour: u32) {
        let schedule = manifest::DAILY.replace("0 12", &format!("0 {hour}"));
        self.bed.write(&format!("jobs/{job}.yaml"), manifest::job(job, job, "london-01", &schedule));
    }

    pub(super) fn public(&self, name: &str) -> String {
        fs::read_to_string(self.bed.path().join(format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    pub(super) fn declare(&self, name: &str, role: &str, key: &str) {
        self.bed.write(&format!("users/{name}.yaml"), manifest::user(name, role, &self.public(key)));
    }

    pub(super) fn trust(&mut self, name: &str) {
        self.trusted.push(TrustedKey { name: name.to_owned(), key: self.public(name).parse().unwrap() });
    }

    pub(super) fn read(&self, git: &git2::Repository, commit: &str, cache: &mut Cache) -> Vec<Arc<Source>> {
        let tree = git.find_commit(commit.parse().unwrap()).unwrap().tree().unwrap();
        read_tree(git, &tree, cache).unwrap()
    }

    pub(super) fn verified(&self) -> (Verified, Vec<Arc<Source>>) {
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
    pub(super) fn findings(&self) -> Vec<String> {
        let (verified, _) = self.verified();
        let line = |finding: almanac_validate::Finding| {
            let place = finding.location.map(|at| format!(" at {}:{}", at.file, at.line));
            format!("{}: {}{}", finding.rule, finding.message, place.unwrap_or_default())
        };
        verified.findings.into_iter().map(line).collect()
    }

    /// What one has to know to understand why a commit is refused.
    pub(super) fn notes(&self, commit: &str) -> Vec<String> {
        let (verified, _) = self.verified();
        let start = format!("commit `{}` ", short(commit));
        let found = verified.findings.into_iter().find(|finding| finding.message.starts_with(&start));
        found.unwrap().notes
    }

    #[track_caller]
    pub(super) fn accepts(&self, signer: &str) {
        let (verified, _) = self.verified();
        assert_eq!(verified.findings, []);
        assert_eq!(verified.signer.as_deref(), Some(signer));
    }

    /// Replaces the head by the commit that an edit of its object makes.
    pub(super) fn forge(&self, edit: impl FnOnce(String) -> String) -> String {
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
    pub(super) fn header(&self, signer: &str, namespace: &str, bytes: &str) -> String {
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

    pub(super) fn branch(&self, name: &str, from: &str) {
        self.git(&["checkout", "--quiet", "-b", name, from]);
    }

    pub(super) fn checkout(&self, name: &str) {
        self.git(&["checkout", "--quiet", name]);
    }

    /// Merges a branch into the one that is checked out.
    pub(super) fn merge(&self, signer: &str, branch: &str) -> String {
        self.signed(signer, &["merge", "--quiet", "--no-ff", "--no-edit", branch])
    }

    /// Merges and leaves the commit to be made.
    pub(super) fn begin_merge(&self, branch: &str) {
        // With conflicts it fails, as it should.
        let _ = Command::new("git")
            .current_dir(self.bed.repo())
            .args(["merge", "--quiet", "--no-ff", "--no-commit", branch])
            .output()
            .unwrap();
    }
}

pub(super) fn keygen(arguments: &[&Path]) {
    let output = Command::new("ssh-keygen").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(super) fn short(commit: &str) -> &str {
    &commit[..12]
}

/// Takes the signature out of a commit object; returns it as a header, and the rest.
pub(super) fn unsigned(object: &str) -> (String, String) {
    let start = object.find("gpgsig ").unwrap();
    let end = start + object[start..].find("-----END SSH SIGNATURE-----\n").unwrap() + 28;
    // Git may end the signature with an empty continuation line.
    let end = if object[end..].starts_with(" \n") { end + 2 } else { end };
    (object[start..end].to_owned(), format!("{}{}", &object[..start], &object[end..]))
}

pub(super) fn signed_with(header: &str, object: &str) -> String {
    object.replacen("\n\n", &format!("\n{header}\n"), 1)
}
