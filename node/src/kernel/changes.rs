//! Files of the host that runs change, and that are put back.
//!
//! What a file held is journaled before it is changed, so that it is put back whatever ends first: the run, the agent or
//! the host. After another boot of the host there is nothing to put back, since `/sys` and `/proc` begin anew.

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc};

use tokio::{sync::Mutex, task};
use tracing::{info, warn};

use almanac_schemas::kernel::{KernelFile, Setting};

use crate::{
    journal::{Changed, Journal, JournalError, OpenRun},
    run::{RunKey, State},
    runtime::chain,
    state_dir::StateDir,
};

use super::{
    KernelError,
    file::{self, FileError},
    record::{self, By},
};

/// The files that are changed.
pub(super) struct Changes {
    journal: Journal,
    state_dir: Arc<StateDir>,
    boot: String,
    /// The runs that may change files. One at a time changes or puts back, so that none changes anything after it is put
    /// back.
    going: Mutex<BTreeSet<RunKey>>,
}

impl Changes {
    pub(super) fn new(journal: Journal, state_dir: Arc<StateDir>, boot: String) -> Self {
        Self { journal, state_dir, boot, going: Mutex::default() }
    }

    /// Lets a run change files from now on.
    pub(super) async fn begin(&self, key: RunKey) {
        self.going.lock().await.insert(key);
    }

    /// Changes a file for a run, and returns what it holds then.
    pub(super) async fn change(
        &self,
        key: RunKey,
        file: &KernelFile,
        value: &str,
    ) -> Result<String, KernelError> {
        let going = self.going.lock().await;
        if !going.contains(&key) {
            return Err(KernelError::Over);
        }
        let path = file.as_str();
        let run = key.to_string();
        let all = self.journal.changed_files().await?;
        match all.into_iter().find(|changed| changed.path == path) {
            Some(changed) if changed.run != run => {
                return Err(KernelError::Held { file: file.clone(), run: changed.run });
            }
            // It was changed before: what it held then is what is put back.
            Some(_) => {}
            None => {
                let held = self.read(file).await?;
                let old = file::restorable(&held).ok_or_else(|| KernelError::Fixed(file.clone()))?;
                let changed = Changed { path: path.to_owned(), run, old, boot: self.boot.clone() };
                self.journal.note_change(&changed).await?;
            }
        }
        self.write(file, value).await?;
        self.read(file).await
    }

    /// Puts back all that a run has changed. From now on it changes nothing.
    pub(super) async fn put_back(&self, key: RunKey) {
        let mut going = self.going.lock().await;
        going.remove(&key);
        let run = key.to_string();
        match self.journal.changed_files().await {
            Ok(all) => {
                for changed in all.iter().filter(|changed| changed.run == run) {
                    self.restore(changed, true).await;
                }
            }
            Err(error) => {
                warn!(run = %key, error = chain(&error), "nobody knows which files a run has changed");
            }
        }
    }

    /// Puts back what an agent before this one did not, of runs that nobody carries on to the point where it is done.
    pub(super) async fn recover(&self, open: &[OpenRun]) -> Result<(), JournalError> {
        let goes_on = |run: &OpenRun| !matches!(run.state, State::Delivering { .. } | State::Finished);
        let going: BTreeSet<String> =
            open.iter().filter(|run| goes_on(run)).map(|run| run.order.key().to_string()).collect();
        let _guard = self.going.lock().await;
        for changed in self.journal.changed_files().await? {
            if changed.boot != self.boot {
                info!(
                    file = changed.path,
                    run = changed.run,
                    "the host was started anew; a file is what it was"
                );
                self.journal.forget_change(&changed.path).await?;
            } else if !going.contains(&changed.run) {
                // What such a run leaves is measured, and perhaps on its way.
                self.restore(&changed, false).await;
            }
        }
        Ok(())
    }

    pub(super) async fn read(&self, file: &KernelFile) -> Result<String, KernelError> {
        let path = file.as_str().to_owned();
        blocking(move || file::read(&path))
            .await
            .map_err(|source| KernelError::File { file: file.clone(), source })
    }

    async fn write(&self, file: &KernelFile, value: &str) -> Result<(), KernelError> {
        let (path, value) = (file.as_str().to_owned(), value.to_owned());
        blocking(move || file::write(&path, &value))
            .await
            .map_err(|source| KernelError::File { file: file.clone(), source })
    }

    /// Puts a file back and forgets it. What cannot be put back is tried again when the agent starts.
    async fn restore(&self, changed: &Changed, is_recorded: bool) {
        let Changed { path, run, old, .. } = changed;
        let Ok(file) = KernelFile::parse(path) else {
            warn!(file = path, run, "a file is no setting any more, and stays as it is");
            return;
        };
        let restored = match self.read(&file).await {
            Ok(held) if file::restorable(&held).as_ref() == Some(old) => Ok(()),
            _ => self.write(&file, old).await,
        };
        let gone = |error: &KernelError| matches!(error, KernelError::File { source: FileError::Open(error), .. } if error.kind() == io::ErrorKind::NotFound);
        let problem = restored.as_ref().err().map(|error| chain(error));
        if is_recorded {
            self.note(run, &Setting::File(file), old, problem.as_deref());
        }
        match &restored {
            Ok(()) => info!(file = path, run, value = old, "a file of the kernel is put back"),
            Err(error) if gone(error) => {
                info!(file = path, run, "a file of the kernel is gone, and nothing is to be put back");
            }
            Err(error) => {
                warn!(
                    file = path,
                    run,
                    value = old,
                    error = chain(error),
                    "a file of the kernel cannot be put back; it is tried again when the agent starts"
                );
                return;
            }
        }
        if let Err(error) = self.journal.forget_change(path).await {
            warn!(
                file = path,
                run,
                error = chain(&error),
                "a file of the kernel is put back, and will be once more"
            );
        }
    }

    /// Records what was put back with its run, as long as that has a folder.
    fn note(&self, run: &str, setting: &Setting, value: &str, problem: Option<&str>) {
        let Some(outbox) =
            RunKey::from_text(run).map(|key| self.outbox(&key)).filter(|outbox| outbox.exists())
        else {
            return;
        };
        if let Err(error) = record::add(&outbox, By::Agent, setting, value, problem) {
            warn!(run, %error, "it cannot be recorded with a run what was put back");
        }
    }

    pub(super) fn outbox(&self, key: &RunKey) -> PathBuf {
        self.state_dir.run(key).outbox()
    }
}

/// Files of the kernel are mostly quick, and some wait for a device.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(FileError::Open(io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/proc/sys/vm/stat_interval";

    fn key() -> RunKey {
        RunKey::from_text("8d863d4f-9fe6-5c16-837c-10e6c0fa0321").unwrap()
    }

    fn held() -> String {
        std::fs::read_to_string(FILE).unwrap().trim().to_owned()
    }

    /// Gives the file back what it held, whatever becomes of the test.
    struct Was(String);

    impl Drop for Was {
        fn drop(&mut self) {
            std::fs::write(FILE, &self.0).unwrap();
        }
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn what_is_left_is_put_back_by_the_next_agent_and_forgotten_by_the_next_boot() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = Arc::new(StateDir::open(folder.path()).unwrap());
        let journal = Journal::open(&state_dir.journal()).await.unwrap();
        let agent = |boot: &str| Changes::new(journal.clone(), state_dir.clone(), boot.to_owned());
        let file = KernelFile::parse(FILE).unwrap();
        let was = Was(held());
        let before = agent("one");
        assert!(matches!(before.change(key(), &file, "7").await, Err(KernelError::Over)), "it has not begun");
        before.begin(key()).await;
        assert_eq!(before.change(key(), &file, "7").await.unwrap(), "7");
        assert!(matches!(before.change(key(), &file, "no number").await, Err(KernelError::File { .. })));
        assert_eq!(held(), "7");

        // Its agent was killed, and nobody carries the run on.
        agent("one").recover(&[]).await.unwrap();
        assert_eq!(held(), was.0);
        assert_eq!(journal.changed_files().await.unwrap(), []);

        // The host was: the kernel begins anew, and what was is none of its business.
        before.change(key(), &file, "8").await.unwrap();
        agent("two").recover(&[]).await.unwrap();
        assert_eq!(held(), "8");
        assert_eq!(journal.changed_files().await.unwrap(), []);

        // Killed between the journal and the file, or between the file and the journal: it is put back once more.
        let left = Changed {
            path: FILE.to_owned(),
            run: key().to_string(),
            old: was.0.clone(),
            boot: "two".to_owned(),
        };
        for held_then in ["9", was.0.as_str()] {
            std::fs::write(FILE, held_then).unwrap();
            journal.note_change(&left).await.unwrap();
            agent("two").recover(&[]).await.unwrap();
            assert_eq!(held(), was.0);
            assert_eq!(journal.changed_files().await.unwrap(), []);
        }

        // What has ended changes nothing any more.
        before.put_back(key()).await;
        assert!(matches!(before.change(key(), &file, "7").await, Err(KernelError::Over)));
        journal.close().await;
    }
}
