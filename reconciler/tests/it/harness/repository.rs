//! A Git repository as researchers have it: a bare one that is pushed to, and a clone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A bare repository and a clone of it.
pub(crate) struct Repository {
    bare: PathBuf,
    clone: PathBuf,
}

impl Repository {
    /// Makes both below a folder. The branch is `main`; nothing is committed.
    pub(crate) fn create(folder: &Path) -> Self {
        let repository = Self { bare: folder.join("testbed.git"), clone: folder.join("clone") };
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", "testbed.git"]);
        git(folder, &["init", "--quiet", "--initial-branch=main", "clone"]);
        repository.git(&["remote", "add", "origin", repository.bare.to_str().unwrap()]);
        repository
    }

    /// The bare repository, which the reconciler reads.
    pub(crate) fn path(&self) -> &Path {
        &self.bare
    }

    /// The clone, to change by hand what [`Repository::write`] cannot.
    pub(crate) fn clone_path(&self) -> &Path {
        &self.clone
    }

    /// Runs Git in the clone.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.clone, args)
    }

    /// Writes a file into the clone.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.clone.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Removes a file from the clone.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.clone.join(path)).unwrap();
    }

    /// Commits the clone as it is, without pushing. Returns the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits the clone as it is and pushes it, whatever is there. Returns the commit.
    pub(crate) fn push(&self, message: &str) -> String {
        let commit = self.commit(message);
        self.git(&["push", "--quiet", "--force", "origin", "main"]);
        commit
    }
}

/// Runs Git, without what the machine's own configuration says.
fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Alice Example", "-c", "user.email=alice@example.org"])
        .args(["-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
