//! Real repositories, made by the `git` command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use super::command::untimed;

/// A folder for one test. Its repositories are the same in every run, hashes included.
pub(crate) struct World {
    folder: TempDir,
}

/// A work tree, or a bare repository.
#[derive(Clone)]
pub(crate) struct Repo {
    home: PathBuf,
    pub(crate) path: PathBuf,
}

/// What the program printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An empty repository.
    pub(crate) fn repo(&self, name: &str) -> Repo {
        let repo = self.at(name);
        fs::create_dir_all(&repo.path).unwrap();
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// A folder, whatever is there.
    pub(crate) fn at(&self, name: &str) -> Repo {
        Repo { home: self.path().to_owned(), path: self.path().join(name) }
    }

    /// A clone, by `git clone` with more arguments.
    pub(crate) fn clone_of(&self, from: &Repo, name: &str, arguments: &[&str]) -> Repo {
        let clone = self.at(name);
        // `file://` and not a path, which would make links and pass over `--depth`.
        let address = format!("file://{}", from.path.display());
        let mut all = vec!["clone", "-q"];
        all.extend(arguments);
        all.extend([address.as_str(), clone.path.to_str().unwrap()]);
        from.git(&all);
        clone
    }
}

impl Repo {
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(&self.path)
            .args(arguments)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .envs([("GIT_AUTHOR_DATE", "1800000000 +0000"), ("GIT_COMMITTER_DATE", "1800000000 +0000")])
            .envs([("GIT_ALLOW_PROTOCOL", "file")])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Commits everything, and returns the hash.
    pub(crate) fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_in("", arguments)
    }

    /// Runs the program in a folder.
    pub(crate) fn run_in(&self, folder: &str, arguments: &[&str]) -> Ran {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_almanac-validate"))
            .current_dir(self.path.join(folder))
            .args(arguments)
            .env("HOME", &self.home)
            .output()
            .unwrap();
        let home = self.home.to_str().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(home, "[home]");
        let stdout = untimed(&text(output.stdout));
        Ran { code: output.status.code().unwrap(), stdout, stderr: text(output.stderr) }
    }

    /// The message with which the program could not run.
    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        ran.stderr.strip_prefix("error: ").unwrap_or(&ran.stderr).trim_end().to_owned()
    }
}

/// A user, as a manifest.
pub(crate) fn user(name: &str, spec: &str) -> String {
    format!("apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
}

/// A node, as a manifest.
pub(crate) fn node(name: &str, spec: &str) -> String {
    format!("apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
}

/// A job of `ann`, as a manifest.
pub(crate) fn job(name: &str, node: &str, schedule: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: ann\n  nodes: [{node}]\n  \
         schedule: {{ {schedule} }}\n  container: {{ image: x }}\n"
    )
}
