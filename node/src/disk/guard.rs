//! Watches the disks while runs go on, and tells those that have to stop.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
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
    Disks, Shortage,
    choose::{Writer, choose},
    taken::{Taken, taken},
};

/// How often the disks are looked at, which takes a system call each. A disk that takes 100 MB a second is filled from
/// the usual reserve on in ten.
const TICK: Duration = Duration::from_secs(1);

/// What part of the time is spent with going through what runs wrote, which may be a million files: one of so many.
/// It is more where a disk is short, since nothing else says who filled it.
const REST: u32 = 50;
const SHORT_REST: u32 = 4;

/// How long an engine may take to say how large a container is. One that does not say it is judged by its artifacts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Knows the disks, and which runs write to them. It is shared by all that hold it.
#[derive(Debug, Clone)]
pub struct Guard {
    disks: Disks,
    runs: Arc<Mutex<BTreeMap<RunKey, Entry>>>,
    /// Wakes the task when there is a run.
    work: Arc<Notify>,
}

#[derive(Debug)]
struct Entry {
    artifacts: PathBuf,
    limit: u64,
    ends: bool,
    over: watch::Sender<Option<Interruption>>,
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
        Self { disks, runs: Arc::default(), work: Arc::default() }
    }

    /// The disks.
    pub const fn disks(&self) -> &Disks {
        &self.disks
    }

    /// What keeps runs from starting now, if the disks do.
    pub fn shortage(&self) -> Option<Shortage> {
        self.disks.shortage()
    }

    /// Watches a run whose artifacts are in a folder, and may have so many bytes.
    pub fn enter(&self, run: RunKey, artifacts: PathBuf, limit: u64) -> Watched {
        let (over, told) = watch::channel(None);
        self.runs().insert(run, Entry { artifacts, limit, ends: false, over });
        self.work.notify_one();
        Watched { guard: self.clone(), run, over: told }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunKey, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the runs took when it was looked; without the file systems of their containers.
    async fn writers(&self) -> Vec<Writer> {
        let folders: Vec<_> =
            self.runs().iter().map(|(run, entry)| (*run, entry.artifacts.clone())).collect();
        let measured = task::spawn_blocking(move || {
            folders.into_iter().map(|(run, folder)| (run, taken(&folder))).collect::<BTreeMap<_, _>>()
        });
        let measured = measured.await.unwrap_or_default();
        let runs = self.runs();
        let writer = |(run, entry): (&RunKey, &Entry)| Writer {
            run: *run,
            artifacts: measured.get(run).copied().unwrap_or_else(Taken::default),
            limit: entry.limit,
            container: 0,
            ends: entry.ends,
        };
        runs.iter().map(writer).collect()
    }

    /// Looks at everything once, and tells who has to stop.
    async fn look(&self, runtime: &dyn Runtime) {
        let mut writers = self.writers().await;
        let disks = self.disks.look();
        if disks.iter().any(|disk| disk.has_containers && disk.shortage().is_some()) {
            for writer in writers.iter_mut().filter(|writer| !writer.ends) {
                let name = ContainerName::of(&writer.run);
                let asked = time::timeout(PATIENCE, runtime.written(&name)).await;
                writer.container = asked.ok().and_then(Result::ok).unwrap_or(0);
            }
        }
        let mut runs = self.runs();
        for (run, why) in choose(&disks, &writers) {
            if let Some(entry) = runs.get_mut(&run) {
                warn!(%run, message = why.message, "a run has to stop");
                entry.ends = true;
                entry.over.send_replace(Some(why));
            }
        }
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
        let begun = Instant::now();
        guard.look(runtime.as_ref()).await;
        last = Some((Instant::now(), begun.elapsed()));
    }
}
