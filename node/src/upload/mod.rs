//! Brings the files of ended runs to the reconciler: several at once, at the pace that the link may be used with, and
//! none while an exclusive run goes on. A run has finished when the reconciler has all of them; only then are they
//! removed here.

mod direct;
mod flight;
mod part;
mod put;
mod send;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::BoxFuture;
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{error, info, warn};

use crate::{
    backoff::Backoff,
    clock,
    journal::{GivenUp, Journal, JournalError, Lane, OpenRun, PendingUpload},
    link::Link,
    point::{Point, Points},
    run::{Observation, RunKey},
    runtime::chain,
    spool::{self, Spool},
    state_dir::StateDir,
    traffic::Traffic,
};

use flight::Flight;
use put::Putter;
use send::UploadError;

/// What the uploader works with.
pub struct Uploader {
    /// The link to the reconciler.
    pub link: Link,
    /// What may be taken of it.
    pub traffic: Traffic,
    /// Where the queue is.
    pub journal: Journal,
    /// Where the files are.
    pub state_dir: Arc<StateDir>,
    /// How many of them there may be.
    pub spool: Spool,
    /// Says that there is something in the queue.
    pub work: Arc<Notify>,
    /// Wakes the reporter.
    pub report: Arc<Notify>,
    /// Watches what is done.
    pub points: Points,
}

/// Uploads until the agent stops.
pub async fn upload(uploader: Uploader, stop: CancellationToken) {
    let mut uploads = Uploads {
        store: Putter::default(),
        broken: BTreeMap::new(),
        flight: Flight::default(),
        tasks: JoinSet::new(),
        retry: None,
        backoff: Backoff::for_calls(),
        uploader,
    };
    let mut event = Event::Work;
    loop {
        if let Err(failure) = uploads.handle(event).await {
            error!(error = chain(&failure), "the queue of files cannot be read or written; trying again");
            uploads.wait_a_while();
        }
        event = tokio::select! {
            // Cancel-safe: a file stays in the queue until it is recorded that the reconciler has all of it; a
            // notification that is not taken stays, a task in its set, and a wait is kept.
            () = stop.cancelled() => return,
            () = uploads.uploader.work.notified() => Event::Work,
            Some(landed) = uploads.tasks.join_next() => Event::Landed(landed),
            backoff = waited(&mut uploads.retry) => Event::Waited(backoff),
        };
    }
}

/// What happened.
enum Event {
    /// There may be new files, files that may go now, and runs that have none.
    Work,
    /// A file is with the reconciler, or is not.
    Landed(Result<(PendingUpload, Result<(), UploadError>), JoinError>),
    /// It is time to try again.
    Waited(Backoff),
}

/// What is on its way. All that is recorded of it is recorded here, one after the other; the tasks do nothing but send.
struct Uploads {
    uploader: Uploader,
    /// What makes requests to stores.
    store: Putter,
    /// How often files arrived broken since the agent started.
    broken: BTreeMap<i64, u32>,
    flight: Flight,
    tasks: JoinSet<(PendingUpload, Result<(), UploadError>)>,
    /// The wait after a failure. Nothing new begins during it.
    retry: Option<BoxFuture<'static, Backoff>>,
    backoff: Backoff,
}

impl Uploads {
    async fn handle(&mut self, event: Event) -> Result<(), JournalError> {
        match event {
            Event::Work => self.look_around().await?,
            Event::Waited(backoff) => {
                self.backoff = backoff;
                self.retry = None;
                let (Uploader { journal, state_dir, .. }, flight) = (&self.uploader, &self.flight);
                spool::end_vain_tries(journal, state_dir, |id| flight.holds(id)).await?;
                self.look_around().await?;
            }
            Event::Landed(Ok((pending, sent))) => {
                self.flight.land(pending.id);
                self.landed(&pending, sent).await?;
            }
            Event::Landed(Err(error)) => {
                error!(%error, "an upload ended early; it is taken up at the next start");
            }
        }
        if self.retry.is_none() { self.start().await } else { Ok(()) }
    }

    /// Finds what has too many files, and what has none any more.
    async fn look_around(&mut self) -> Result<(), JournalError> {
        let (Uploader { spool, journal, state_dir, .. }, flight) = (&self.uploader, &self.flight);
        spool.bound(journal, state_dir, |id| flight.holds(id)).await?;
        for run in journal.delivered_runs().await? {
            self.uploader.finish(run).await?;
        }
        Ok(())
    }

    /// Starts what may go.
    async fn start(&mut self) -> Result<(), JournalError> {
        for lane in [Lane::Small, Lane::Large] {
            let waiting = self.uploader.journal.next_uploads(lane, Flight::reach(lane)).await?;
            for pending in self.flight.board(lane, waiting) {
                let (link, traffic) = (self.uploader.link.clone(), self.uploader.traffic.clone());
                let (path, store) = (self.uploader.path(&pending), self.store.clone());
                self.tasks.spawn(async move {
                    let sent = send::send(&link, &traffic, &store, &pending, &path).await;
                    (pending, sent)
                });
            }
        }
        Ok(())
    }

    /// Records what became of a file.
    async fn landed(
        &mut self,
        pending: &PendingUpload,
        sent: Result<(), UploadError>,
    ) -> Result<(), JournalError> {
        let sent = self.counted(pending, sent);
        let Uploader { link, journal, points, .. } = &self.uploader;
        let (run, file) = (pending.key, &pending.file);
        match sent {
            Ok(()) => {
                info!(%run, file = file.name, bytes = file.size, "uploaded");
                points.reach(Point::Uploaded);
                let is_last = journal.end_upload(pending).await?;
                points.reach(Point::Forgotten);
                remove(&self.uploader.path(pending));
                if is_last {
                    self.uploader.finish_if_open(&run).await?;
                }
                if self.retry.is_none() {
                    self.backoff.reset();
                }
            }
            Err(UploadError::Call(status)) if is_nobodys_fault(&status) => {
                link.complain("upload", &status);
                self.wait_a_while();
            }
            Err(error) if error.is_final() => {
                let problem = format!("`{}` is lost: {}", file.name, chain(&error));
                warn!(%run, problem, "a file cannot be uploaded");
                give_up(journal, pending, GivenUp::Refused, problem).await?;
                remove(&self.uploader.path(pending));
                self.look_around().await?;
            }
            Err(error) => {
                if let UploadError::Call(status) = &error {
                    link.complain("upload", status);
                } else {
                    warn!(%run, error = chain(&error), "an upload failed; trying again");
                }
                journal.postpone_upload(pending.id).await?;
                self.wait_a_while();
            }
        }
        Ok(())
    }

    /// Counts how often a file arrived broken. One that always does is on a disk that gives another content each time, or
    /// on a way that cannot be trusted.
    fn counted(&mut self, pending: &PendingUpload, sent: Result<(), UploadError>) -> Result<(), UploadError> {
        match sent {
            Err(UploadError::Call(status)) if status.code() == Code::DataLoss => {
                let count = self.broken.entry(pending.id).or_default();
                *count += 1;
                if *count < MAX_BROKEN {
                    return Err(UploadError::Call(status));
                }
                let count = *count;
                self.broken.remove(&pending.id);
                Err(UploadError::Broken(count))
            }
            sent => {
                if sent.is_ok() {
                    self.broken.remove(&pending.id);
                }
                sent
            }
        }
    }

    /// Others that fail meanwhile, for the same reason, are not a reason to wait longer.
    fn wait_a_while(&mut self) {
        if self.retry.is_none() {
            let (mut link, mut backoff) = (self.uploader.link.clone(), self.backoff.clone());
            self.retry = Some(Box::pin(async move {
                link.back_off(&mut backoff).await;
                backoff
            }));
        }
    }
}

/// How often a file may arrive broken.
const MAX_BROKEN: u32 = 5;

/// Whether the file has nothing to do with it: the reconciler is not reached, or has had too many calls.
fn is_nobodys_fault(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.metadata().contains_key(PUSHBACK)
}

/// The header by which gRPC says when to try again (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The end of a wait, if there is one.
async fn waited(retry: &mut Option<BoxFuture<'static, Backoff>>) -> Backoff {
    match retry {
        Some(retry) => retry.await,
        None => std::future::pending().await,
    }
}

impl Uploader {
    fn path(&self, pending: &PendingUpload) -> PathBuf {
        self.state_dir.run(&pending.key).outbox().join(&pending.file.name)
    }

    async fn finish_if_open(&self, key: &RunKey) -> Result<(), JournalError> {
        match self.journal.open_run(key).await? {
            Some(run) => self.finish(run).await,
            None => Ok(()),
        }
    }

    /// The reconciler has all files of a run.
    async fn finish(&self, OpenRun { order, state }: OpenRun) -> Result<(), JournalError> {
        let transition = state.next(Observation::Delivered, clock::now());
        self.journal.advance(&order, &transition, clock::now()).await?;
        self.points.reach(Point::Finished);
        self.report.notify_one();
        let key = order.key();
        if let Some(step) = transition.step {
            info!(run = %key, job = %order.job, phase = %step.phase, message = step.message, "run");
        }
        if let Err(error) = self.state_dir.run(&key).remove().await {
            warn!(run = %key, %error, "the folder of a run cannot be removed");
        }
        Ok(())
    }
}

/// Records that a file will never be with the reconciler, and what that makes of its run.
pub(crate) async fn give_up(
    journal: &Journal,
    pending: &PendingUpload,
    why: GivenUp,
    problem: String,
) -> Result<(), JournalError> {
    let now = clock::now();
    match journal.open_run(&pending.key).await? {
        Some(OpenRun { order, state }) => {
            let transition = state.next(Observation::Refused(problem), now);
            journal.give_up_upload(pending, why, Some((&order, &transition)), now).await
        }
        None => journal.give_up_upload(pending, why, None, now).await,
    }
}

/// A file that stays behind goes with the folder of its run.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(file = %path.display(), %error, "an uploaded file cannot be removed");
    }
}
