//! Noticing at once that a branch of a local repository has moved.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A watch on the references of a repository.
#[derive(Debug)]
pub struct ReferenceWatch {
    folder: PathBuf,
    nudged: Arc<Notify>,
    /// Which folder is watched; a path may lead to another one later. None while nothing is watched.
    identity: Option<(u64, u64)>,
    watcher: Option<RecommendedWatcher>,
}

impl ReferenceWatch {
    /// Watches a folder with objects and references, for as long as this lives.
    pub fn new(folder: &Path, nudged: Arc<Notify>) -> Self {
        let mut watch = Self { folder: folder.to_owned(), nudged, identity: None, watcher: None };
        watch.begin();
        watch
    }

    /// Watches what the path leads to now, if that is another folder than before: a repository that was
    /// replaced, or that has come back.
    pub fn renew(&mut self) {
        if identity(&self.folder) != self.identity {
            self.begin();
            // Whatever happened before it was watched was not noticed.
            self.nudged.notify_one();
        }
    }

    fn begin(&mut self) {
        self.identity = identity(&self.folder);
        self.watcher = self.identity.and_then(|_| match watch(&self.folder, Arc::clone(&self.nudged)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the repository; pushes are noticed at the next poll");
                None
            }
        });
    }
}

/// The references of the folder are what is watched, since a repository is often made around an empty one.
fn identity(folder: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(folder.join("refs")).ok()?;
    Some((found.dev(), found.ino()))
}

/// Watches what moves when a branch does: the references, packed or not. The folder itself is
/// watched without its objects, which are many and mean nothing by themselves.
fn watch(folder: &Path, nudged: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change; whatever else happened, a look is the answer.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            nudged.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    watcher.watch(&folder.join("refs"), RecursiveMode::Recursive)?;
    Ok(watcher)
}
