//! Carries out one run, from where it stands to the point where its files are queued. It decides
//! nothing: it does what the state asks for, and journals what it sees before it goes on. How a command is brought to begin
//! is in [`super::deploy`], how it is followed to its end in [`super::watching`].

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Notify, watch},
    task,
};
use tracing::{info, warn};

use almanac_schemas::Size;

use crate::{
    api::{self, Desk, Serving},
    artifacts::{self, Packed},
    clock,
    container::{self, ContainerName},
    disk::{Guard, Watched, Writes},
    journal::{Journal, JournalError},
    kernel::Kernel,
    point::{Point, Points},
    runtime::{Runtime, chain},
    servers::Servers,
    state_dir::{RunDir, StateDir},
    telemetry::{
        Telemetry,
        recording::{self, Recording},
    },
    traffic::{Measurement, Traffic},
};

use super::{
    Collected, Interruption, Observation, Order, RunKey, State, facts::Facts, paired::Paired, trigger::Held,
};

/// What a worker works with.
#[derive(Clone)]
pub struct Tools {
    /// Where everything is recorded.
    pub journal: Journal,
    /// What runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Where runs have their folders.
    pub state_dir: Arc<StateDir>,
    /// How much of a run's log is kept.
    pub log_limit: Size,
    /// Wakes the reporter.
    pub report: Arc<Notify>,
    /// Wakes the uploader.
    pub upload: Arc<Notify>,
    /// Watches what is done.
    pub points: Points,
    /// Since when the agent has been there.
    pub since: DateTime<Utc>,
    /// Knows when an exclusive run goes on.
    pub traffic: Traffic,
    /// The runs that are made ready and are not in the journal yet.
    pub ready: watch::Sender<BTreeSet<RunKey>>,
    /// What the node measures.
    pub telemetry: Telemetry,
    /// The kernel, as runs may set it.
    pub kernel: Kernel,
    /// Speaks for both sides of pairs.
    pub servers: Servers,
    /// Watches the disks that runs write to.
    pub disk: Guard,
}

/// Says that a run is to end, once it is.
pub type Interrupted = watch::Receiver<Option<Interruption>>;

/// Gets a run ready ahead of its instant. It may never come to run: then [`withdraw`] leaves nothing of it.
pub async fn prepare(tools: Tools, order: Order) {
    let worker = Worker::new(tools, order, never());
    if let Err(error) = worker.make_ready(&worker.order).await {
        info!(run = %worker.order.key(), error = chain(&error), "a run cannot be made ready yet; it is tried again when it is due");
    }
}

/// Removes what was made ready for a run that is not to be.
pub async fn withdraw(tools: Tools, order: Order) {
    let worker = Worker::new(tools, order, never());
    worker.clean_up().await;
    worker.remove_folder().await;
}

/// Carries a run on from where it stands until its files are queued or it has finished. It can be
/// cut off at any instant and called again.
///
/// # Errors
///
/// When the journal cannot be written. Then nothing may be done any more, since nothing would be
/// remembered of it.
pub async fn carry_out(
    tools: Tools,
    order: Order,
    state: State,
    interrupted: Interrupted,
) -> Result<(), JournalError> {
    Worker::new(tools, order, interrupted).run(state).await
}

/// Of what is not to end before it has begun.
fn never() -> Interrupted {
    watch::channel(None).1
}

pub(super) struct Worker {
    pub(super) tools: Tools,
    pub(super) order: Order,
    pub(super) name: ContainerName,
    pub(super) dir: RunDir,
    interrupted: Interrupted,
    pub(super) measurement: Measurement,
    /// The run's socket, as long as its container may be there.
    api: Mutex<Option<Serving>>,
    /// The other side, of a run that has one.
    pub(super) paired: Paired,
    /// What it writes is watched from its start until it is packed.
    watched: OnceLock<Watched>,
}

impl Worker {
    fn new(tools: Tools, order: Order, interrupted: Interrupted) -> Self {
        let key = order.key();
        let measurement = tools.traffic.measurement(key, order.spec.exclusive);
        let (name, dir) = (ContainerName::of(&key), tools.state_dir.run(&key));
        let paired = Paired::new(&tools.servers, &order);
        Self {
            name,
            dir,
            tools,
            order,
            interrupted,
            measurement,
            api: Mutex::default(),
            paired,
            watched: OnceLock::new(),
        }
    }

    /// Answers the run on its socket, and lets it have kernel settings. A run goes on without.
    pub(super) async fn open(&self) {
        self.tools.kernel.begin(self.order.key()).await;
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        if api.is_some() {
            return;
        }
        let served = Facts::of(&self.order).to_json().and_then(|facts| {
            let Tools { telemetry, kernel, .. } = &self.tools;
            let desk = Desk::new(self.order.clone(), facts, telemetry.clone(), kernel.clone());
            api::serve(&self.dir.files().api, desk)
        });
        match served {
            Ok(serving) => *api = Some(serving),
            Err(error) => warn!(run = %self.order.key(), %error, "a run cannot be answered on its socket"),
        }
    }

    /// Ends the run's socket and puts back what it changed on the host.
    async fn close(&self) {
        drop(self.api.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.tools.kernel.end(self.order.key()).await;
    }

    /// Waits until the run is to end, for ever if it is not.
    pub(super) async fn interruption(&self) -> Interruption {
        let mut interrupted = self.interrupted.clone();
        match interrupted.wait_for(Option::is_some).await.map(|said| said.clone()) {
            Ok(Some(interruption)) => interruption,
            // Nobody is there any more who could say so.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Has what it writes watched.
    pub(super) fn watched(&self) -> &Watched {
        let enter = || {
            let writes = Writes {
                artifacts: self.dir.files().artifacts,
                limit: self.order.artifacts_limit(),
                to_container: !container::part(&self.order.spec, self.order.role).read_only,
            };
            self.tools.disk.enter(self.order.key(), writes)
        };
        self.watched.get_or_init(enter)
    }

    async fn run(&self, mut state: State) -> Result<(), JournalError> {
        let points = &self.tools.points;
        let mut recording: Option<Recording> = None;
        loop {
            match &state {
                State::Deploying => {}
                State::Running { .. } | State::Stopping { .. } => self.open().await,
                State::Collecting { .. } | State::Delivering { .. } | State::Finished => self.close().await,
            }
            let observation = match &state {
                State::Deploying => self.deploy().await?,
                State::Running { .. } => {
                    self.measurement.begin();
                    recording = recording.or_else(|| self.record());
                    self.watch().await
                }
                State::Stopping { interruption, .. } => {
                    self.paired.stops(interruption.as_ref());
                    self.measurement.begin();
                    recording = recording.or_else(|| self.record());
                    self.watched().ends();
                    self.stop(interruption.as_ref()).await
                }
                State::Collecting { outcome, started_at, ended_at } => {
                    self.measurement.end();
                    self.watched().ends();
                    if let Some(recording) = recording.take() {
                        recording.finish().await;
                    }
                    self.paired.ended(&self.order, outcome);
                    let digest = self.tools.journal.image_digest(&self.order.key()).await?;
                    let facts = Facts::of(&self.order).triggered(self.held());
                    let facts = facts.ended(&self.order, outcome, *started_at, *ended_at, digest);
                    let (collected, files) = self.collect(facts).await?;
                    points.reach(Point::Packed);
                    let transition = state.next(Observation::Collected(collected), clock::now());
                    self.tools.journal.advance_with(&self.order, &transition, &files, clock::now()).await?;
                    points.reach(Point::Delivering);
                    state = transition.state;
                    continue;
                }
                State::Delivering { .. } => {
                    self.clean_up().await;
                    self.remove_artifacts().await;
                    points.reach(Point::Removed);
                    self.tools.upload.notify_one();
                    return Ok(());
                }
                State::Finished => {
                    self.clean_up().await;
                    self.remove_folder().await;
                    return Ok(());
                }
            };
            if matches!(observation, Observation::Exited(_)) {
                points.reach(Point::Ended);
            }
            let transition = state.next(observation, clock::now());
            self.tools.journal.advance(&self.order, &transition, clock::now()).await?;
            match &transition.state {
                State::Running { .. } => points.reach(Point::Running),
                State::Collecting { .. } => points.reach(Point::Collecting),
                _ => {}
            }
            if let Some(step) = &transition.step {
                info!(run = %self.order.key(), job = %self.order.job, phase = %step.phase, message = step.message, "run");
                self.tools.report.notify_one();
                if transition.state.is_finished() {
                    self.paired.did_not_start(&self.order, step);
                }
            }
            state = transition.state;
        }
    }

    /// By what the run's trigger held, if it waited for one.
    pub(super) fn held(&self) -> Option<Held> {
        self.order.spec.trigger.as_ref().and_then(|_| Held::read(self.dir.path()))
    }

    /// Records what is measured, where something is.
    fn record(&self) -> Option<Recording> {
        let telemetry = &self.tools.telemetry;
        let is_recorded = telemetry.is_recorded() || self.order.spec.trigger.is_some();
        is_recorded.then(|| Recording::start(telemetry, self.dir.telemetry(), recording::LIMIT))
    }

    /// Packs what the run left, away from the threads that serve everybody.
    async fn collect(
        &self,
        facts: Facts,
    ) -> Result<(Collected, Vec<crate::journal::UploadFile>), JournalError> {
        self.read_rest_of_log().await;
        let (dir, log) = (self.dir.clone(), self.log());
        let (limit, disks) = (self.order.artifacts_limit(), self.tools.disk.disks().clone());
        let turn = self.tools.disk.turn().await;
        let packed = task::spawn_blocking(move || {
            if let Err(error) = log.seal() {
                warn!(log = %log.log.display(), %error, "the end of a log cannot be added to it");
            }
            let room = disks.room_to_pack(&dir.outbox().join(artifacts::ARCHIVE));
            artifacts::collect(&dir, limit, room, |collected, files, left_out| {
                facts.with(collected, files, left_out).to_json()
            })
        })
        .await;
        drop(turn);
        let Packed { collected, files } = packed.unwrap_or_else(|error| Packed {
            collected: Collected::Failed(format!("packing the artifacts ended early: {error}")),
            files: Vec::new(),
        });
        if let Collected::Failed(problem) | Collected::InPart(problem) = &collected {
            warn!(run = %self.order.key(), problem, "not all that a run left is packed");
        }
        Ok((collected, files))
    }

    /// Removes the container. One that stays behind is found and removed at the next start.
    async fn clean_up(&self) {
        if let Err(error) = self.tools.runtime.remove(&self.name).await {
            warn!(run = %self.order.key(), error = chain(&error), "the container of a run cannot be removed");
        }
    }

    /// What is packed need not be kept twice, perhaps for days. What cannot be removed goes with the folder.
    async fn remove_artifacts(&self) {
        if let Err(error) = self.dir.remove_artifacts().await {
            warn!(folder = %self.dir.path().display(), %error, "packed artifacts cannot be removed");
        }
    }

    async fn remove_folder(&self) {
        if let Err(error) = self.dir.remove().await {
            warn!(folder = %self.dir.path().display(), %error, "the folder of a run cannot be removed");
        }
    }
}
