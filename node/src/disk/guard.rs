//! Watches the disks while runs go on, and tells those that have to stop.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    sync::{Notify, OwnedMutexGuard, watch},
    task,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    container::ContainerName,
    run::{Interruption, RunKey},
    runtime::Runtime,
};

use super::{
    Disk, Disks, Shortage,
    choose::{Writer, choose},
    taken::taken,
};

/// How often the disks are looked at, which takes a system call each. A disk that takes 100 MB a second is filled from
/// the usual reserve on in ten.
const TICK: Duration = Duration::from_secs(1);

/// What part of the time is spent with going through what runs wrote, which may be a million files: one of so many.
/// It is more where a disk is short, since nothing else says who filled it.
const REST: u32 = 50;
const SHORT_REST: u32 = 4;

/// How long an engine may take to say how large a container is. One that is not told of is taken for the largest.
const PATIENCE: Duration = Duration::from_secs(10);

/// Knows the disks, and which runs write to them. It is shared by all that hold it.
#[derive(Debug, Clone)]
pub struct Guard {
    disks: Disks,
    runs: Arc<Mutex<BTreeMap<RunKey, Entry>>>,
    /// Wakes the task when there is a run.
    work: Arc<Notify>,
    /// Held while something is packed on a disk that is short: what is there for it is there once.
    packing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Entry {
    writes: Writes,
    ends: bool,
    over: watch::Sender<Option<Interruption>>,
}

/// What a run may write.
#[derive(Debug, Clone)]
pub struct Writes {
    /// The folder of its artifacts.
    pub artifacts: PathBuf,
    /// How many bytes may be there.
    pub limit: u64,
    /// Whether it can write to the file system of its container.
    pub to_container: bool,
}

/// A run that is watched, until this is dropped.
#[derive(Debug)]
pub struct Watched {
    guard: Guard,
    run: RunKey,
    over: watch::Receiver<Option<Interruption>>,
}

impl Guard {
    /// A guard of disks.
    pub fn new(disks: Disks) -> Self {
        Self { disks, runs: Arc::default(), work: Arc::default(), packing: Arc::default() }
    }

    /// Waits until something may be packed, until what it answers is dropped. Where a disk is short, one after the other.
    pub async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.shortage()?;
        Some(self.packing.clone().lock_owned().await)
    }

    /// The disks.
    pub const fn disks(&self) -> &Disks {
        &self.disks
    }

    /// What keeps runs from starting now, if the disks do.
    pub fn shortage(&self) -> Option<Shortage> {
        self.disks.shortage()
    }

    /// Watches a run.
    pub fn enter(&self, run: RunKey, writes: Writes) -> Watched {
        let (over, told) = watch::channel(None);
        self.runs().insert(run, Entry { writes, ends: false, over });
        self.work.notify_one();
        Watched { guard: self.clone(), run, over: told }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunKey, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the runs took when it was looked; and how long that took, without what the engine took.
    async fn writers(&self, runtime: &dyn Runtime) -> (Vec<Writer>, Duration) {
        let begun = Instant::now();
        let runs: Vec<_> = self.runs().iter().map(|(run, entry)| (*run, entry.writes.clone())).collect();
        let measured = task::spawn_blocking(move || {
            runs.into_iter().map(|(run, writes)| (run, taken(&writes.artifacts), writes)).collect::<Vec<_>>()
        });
        let measured = measured.await.unwrap_or_default();
        let took = begun.elapsed();
        let is_short = |disk: &Disk| disk.has_containers && disk.shortage().is_some();
        let asks = self.disks.look().iter().any(is_short);
        let writers = measured.into_iter().map(|(run, artifacts, writes)| async move {
            let container = match asks && writes.to_container {
                true => {
                    let name = ContainerName::of(&run);
                    time::timeout(PATIENCE, runtime.written(&name)).await.ok().and_then(Result::ok)
                }
                false => Some(0),
            };
            let ends = self.runs().get(&run).is_none_or(|entry| entry.ends);
            Writer { run, artifacts, limit: writes.limit, container, ends }
        });
        (join_all(writers).await, took)
    }

    /// Looks at everything once, and tells who has to stop. Answers how long going through what was written took.
    async fn look(&self, runtime: &dyn Runtime) -> Duration {
        let (writers, took) = self.writers(runtime).await;
        let disks = self.disks.look();
        let mut runs = self.runs();
        for (run, why) in choose(&disks, &writers) {
            if let Some(entry) = runs.get_mut(&run) {
                warn!(%run, message = why.message, "a run has to stop");
                entry.ends = true;
                entry.over.send_replace(Some(why));
            }
        }
        took
    }
}

impl Watched {
    /// Waits until the run has to stop, for ever if it has not.
    pub async fn over(&self) -> Interruption {
        let mut over = self.over.clone();
        match over.wait_for(Option::is_some).await.map(|told| told.clone()) {
            Ok(Some(why)) => why,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Says that the run is ending: what it takes is soon free.
    pub fn ends(&self) {
        if let Some(entry) = self.guard.runs().get_mut(&self.run) {
            entry.ends = true;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.guard.runs().remove(&self.run);
    }
}

/// Watches until `stop`, as long as there are runs.
pub async fn watch(guard: Guard, runtime: Arc<dyn Runtime>, stop: CancellationToken) {
    let mut last: Option<(Instant, Duration)> = None;
    loop {
        let wait = async {
            if guard.runs().is_empty() {
                guard.work.notified().await;
            }
            time::sleep(TICK).await;
        };
        tokio::select! {
            // Cancel-safe: a notice that is lost is of no use any more.
            () = stop.cancelled() => return,
            () = wait => {}
        }
        let rest = if guard.shortage().is_some() { SHORT_REST } else { REST };
        let rests = last.is_some_and(|(ended, took)| ended.elapsed() < took * rest);
        if rests || guard.runs().is_empty() {
            continue;
        }
        let took = guard.look(runtime.as_ref()).await;
        last = Some((Instant::now(), took));
    }
}
