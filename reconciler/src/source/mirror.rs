//! The copy of a remote repository, kept beside the database and fetched by the `git` command.
//!
//! Git brings what a library would have to learn: TLS, SSH, credential helpers, proxies. The mirror is a
//! cache: whoever removes it loses nothing but the time to fetch it again.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use almanac_schemas::Size;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, AccessError},
    failure::Failure,
    git::{self, Cut, Ended},
};
use crate::{redact, secret::Secret};

/// How long what stays on this machine may take.
const LOCAL: Duration = Duration::from_secs(60);

/// How much of what Git says an error repeats.
const SAID: usize = 1 << 10;

/// How many branches an error names.
const NAMED: usize = 8;

/// Why a remote repository could not be fetched.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// There is no `git`.
    #[error("cannot run `git`, which fetches remote repositories; install it")]
    Git(#[source] io::Error),
    /// The folder of the mirror cannot be used.
    #[error("cannot use the mirror {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// What is configured cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Git failed.
    #[error("{explained} (git says: {said})")]
    Failed {
        /// What the matter is.
        failure: Failure,
        /// That in words, and what to do.
        explained: String,
        /// What Git said.
        said: String,
    },
    /// There is no such branch; these there are.
    #[error("there is no branch `{branch}`; there is {}", .others.join(", "))]
    NoBranch {
        /// The branch that was asked for.
        branch: String,
        /// Some of those that there are.
        others: Vec<String>,
    },
    /// There is no branch at all.
    #[error("the repository has no commit yet; push the branch `{0}`")]
    Empty(String),
    /// Git took too long.
    #[error("it took longer than {} s and was given up; `--git-timeout` gives it longer", .0.as_secs())]
    Deadline(Duration),
    /// The mirror would be too large.
    #[error(
        "the repository takes more than {0}; what was fetched of it is removed, and `--max-repository-size` allows more"
    )]
    TooLarge(Size),
    /// The reconciler is to stop.
    #[error("the reconciler is stopping")]
    Stopped,
}

/// The mirror of a repository. Everything blocks.
#[derive(Debug)]
pub(super) struct Mirror {
    folder: PathBuf,
    access: Access,
    stop: CancellationToken,
}

impl Mirror {
    /// The mirror in a folder, which need not be there yet.
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder, access: Access::default(), stop: CancellationToken::new() }
    }

    /// How the remote repository is reached, and what ends what is under way.
    pub(super) fn reach(&mut self, access: Access, stop: CancellationToken) {
        (self.access, self.stop) = (access, stop);
    }

    /// The folder of the mirror.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings the branch of a remote repository here, whatever it was before.
    ///
    /// # Errors
    ///
    /// When that is not possible. Then the mirror is as it was.
    pub(super) fn fetch(&self, address: &str, branch: &str) -> Result<(), MirrorError> {
        self.prepare()?;
        let before = self.packs()?;
        // Forced, since a rewritten branch is followed and recorded as such. It goes to its place only
        // when all is well.
        let refspec = format!("+refs/heads/{branch}:{FETCHED}");
        let mut command = self.command();
        // `--update-shallow`: what a shallow remote has is all that there is.
        command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow", "--"]);
        command.args([address, &refspec]);
        let secret = self.access.apply(address, &mut command)?;
        let fetched = self.run(&mut command, self.access.timeout).and_then(|ended| {
            // It may have grown since it was looked at last.
            self.check_size()?;
            self.judge(&ended, address, secret.as_ref())
        });
        match fetched {
            Ok(()) => {
                self.publish(branch)?;
                self.maintain();
                Ok(())
            }
            Err(error) => {
                self.restore(&before)?;
                match error {
                    MirrorError::Failed { failure: Failure::NoBranch, .. } => {
                        Err(self.no_branch(address, branch))
                    }
                    error => Err(error),
                }
            }
        }
    }

    /// Makes the folder if it is not there, and removes what a run that was killed left behind, which would
    /// stop the next one. Nobody else writes here.
    fn prepare(&self) -> Result<(), MirrorError> {
        if self.folder.join("HEAD").exists() {
            return self.sweep();
        }
        let mut command = git::command();
        // Without a template, which is where hooks come from.
        command.args(["init", "--quiet", "--bare", "--template=", "--"]).arg(&self.folder);
        let ended = self.run(&mut command, LOCAL)?;
        self.judge(&ended, "", None)
    }

    fn publish(&self, branch: &str) -> Result<(), MirrorError> {
        let mut command = self.command();
        command.args(["update-ref", "--no-deref", &format!("refs/heads/{branch}"), FETCHED]);
        let ended = self.run(&mut command, LOCAL)?;
        self.judge(&ended, "", None)
    }

    /// Joins packs when there are many. If that fails, the next time does it.
    fn maintain(&self) {
        let mut command = self.command();
        command.args(["gc", "--auto", "--quiet"]);
        let ended = git::run(&mut command, LOCAL, &self.stop, || Ok::<_, ()>(()));
        if !matches!(&ended, Ok(Ended { status, .. }) if status.success()) {
            tracing::warn!(mirror = %self.folder.display(), ?ended, "cannot tidy up the mirror");
        }
    }

    fn no_branch(&self, address: &str, branch: &str) -> MirrorError {
        let mut command = self.command();
        command.args(["ls-remote", "--heads", "--quiet", "--", address]);
        let listed = self.access.apply(address, &mut command).map_err(MirrorError::from).and_then(|secret| {
            let ended = self.run(&mut command, self.access.timeout)?;
            self.judge(&ended, address, secret.as_ref())?;
            Ok(ended.stdout)
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return error,
        };
        let names = listed.lines().filter_map(|line| line.split_once("\trefs/heads/"));
        let others: Vec<String> = names.map(|(_, name)| format!("`{name}`")).take(NAMED).collect();
        if others.is_empty() {
            MirrorError::Empty(branch.to_owned())
        } else {
            MirrorError::NoBranch { branch: branch.to_owned(), others }
        }
    }

    fn command(&self) -> Command {
        let mut command = git::command();
        command.arg("--git-dir").arg(&self.folder);
        command
    }

    fn run(&self, command: &mut Command, deadline: Duration) -> Result<Ended, MirrorError> {
        git::run(command, deadline, &self.stop, || self.check_size()).map_err(|cut| match cut {
            Cut::Spawn(error) => MirrorError::Git(error),
            Cut::Deadline => MirrorError::Deadline(deadline),
            Cut::Stopped => MirrorError::Stopped,
            Cut::Bound(error) => error,
        })
    }

    fn judge(&self, ended: &Ended, address: &str, secret: Option<&Secret>) -> Result<(), MirrorError> {
        if ended.status.success() {
            return Ok(());
        }
        let failure = Failure::of(&ended.stderr);
        let said = tidy(&ended.stderr, secret);
        let said = if said.is_empty() { ended.status.to_string() } else { said };
        let explained = failure.explain(&self.access, address).to_string();
        Err(MirrorError::Failed { failure, explained, said })
    }

    fn check_size(&self) -> Result<(), MirrorError> {
        let max = self.access.max_size;
        if size(&self.folder) > max.as_bytes() { Err(MirrorError::TooLarge(max)) } else { Ok(()) }
    }

    /// The packs that there are.
    fn packs(&self) -> Result<Vec<PathBuf>, MirrorError> {
        let folder = self.folder.join("objects/pack");
        match fs::read_dir(&folder) {
            Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(MirrorError::Folder(folder, error)),
        }
    }

    /// Removes what a fetch that failed has brought.
    fn restore(&self, before: &[PathBuf]) -> Result<(), MirrorError> {
        // It may hold on to what is removed.
        remove(&self.folder.join(FETCHED))?;
        for pack in self.packs()? {
            if !before.contains(&pack) {
                remove(&pack)?;
            }
        }
        self.sweep()
    }

    /// Removes locks and unfinished files.
    fn sweep(&self) -> Result<(), MirrorError> {
        let left = |path: &Path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let extension = path.extension().and_then(OsStr::to_str);
            matches!(extension, Some("lock" | "keep")) || name.starts_with("tmp_") || name == "gc.pid"
        };
        let mut paths = Vec::new();
        walk(&self.folder, &mut |path, _| {
            if left(path) {
                paths.push(path.to_owned());
            }
        });
        paths.iter().try_for_each(|path| remove(path))
    }
}

/// Where what was fetched waits until all is well.
const FETCHED: &str = "refs/almanac/fetched";

fn remove(path: &Path) -> Result<(), MirrorError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(MirrorError::Folder(path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

/// How many bytes the files below a folder have. What disappears meanwhile has none.
fn size(folder: &Path) -> u64 {
    let mut bytes = 0;
    walk(folder, &mut |_, size| bytes += size);
    bytes
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path, u64)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => walk(&entry.path(), each),
            Ok(found) => each(&entry.path(), found.len()),
            Err(_) => {}
        }
    }
}

/// What Git said in one line, without secrets, banners and what it always adds.
fn tidy(said: &str, secret: Option<&Secret>) -> String {
    let said = match secret {
        Some(secret) => said.replace(secret.reveal(), "***"),
        None => said.to_owned(),
    };
    let plain = |line: &&str| !line.is_empty() && !line.starts_with('@');
    let said = redact::passwords(&said);
    let lines = said.lines().map(|line| line.trim().trim_end_matches('.')).filter(plain);
    let mut said = lines.collect::<Vec<_>>().join("; ");
    if said.len() > SAID {
        let cut = (0..=SAID).rev().find(|index| said.is_char_boundary(*index)).unwrap_or(0);
        said.truncate(cut);
        said.push_str(" ...");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSource;

    #[test]
    fn what_git_says_is_told_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "hunter2").unwrap();
        let secret = SecretSource::File(path).read().unwrap();
        let said = "@@@@\nfatal: bad https://me:hunter2@example.org.\n\n  hunter2\n";
        assert_eq!(tidy(said, Some(&secret)), "fatal: bad https://me:***@example.org; ***");
        assert!(tidy(&"ä".repeat(SAID), None).len() <= SAID + 4);
    }
}
