//! Carries out one run, from where it stands to the point where its files are queued. It decides
//! nothing: it does what the state asks for, and journals what it sees before it goes on.

use std::{
    collections::BTreeSet,
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::{
    sync::{Notify, watch},
    task, time,
};
use tracing::{info, warn};

use almanac_schemas::{Reason, Size};

use crate::{
    api::{self, Desk, Serving},
    artifacts::{self, Packed},
    backoff::Backoff,
    clock,
    container::{self, ContainerName},
    journal::{Journal, JournalError},
    kernel::{Kernel, access::blamed},
    logs::{LogFiles, Reading},
    point::{Point, Points},
    runtime::{Condition, PrepareError, Runtime, RuntimeError, chain},
    scheduler::SETTLED_AHEAD,
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
    waiting::Waiting,
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

struct Worker {
    tools: Tools,
    order: Order,
    name: ContainerName,
    dir: RunDir,
    interrupted: Interrupted,
    measurement: Measurement,
    /// The run's socket, as long as its container may be there.
    api: Mutex<Option<Serving>>,
    /// The other side, of a run that has one.
    paired: Paired,
}

impl Worker {
    fn new(tools: Tools, order: Order, interrupted: Interrupted) -> Self {
        let key = order.key();
        let measurement = tools.traffic.measurement(key, order.spec.exclusive);
        let (name, dir) = (ContainerName::of(&key), tools.state_dir.run(&key));
        let paired = Paired::new(&tools.servers, &order);
        Self { name, dir, tools, order, interrupted, measurement, api: Mutex::default(), paired }
    }

    /// Answers the run on its socket, and lets it have kernel settings. A run goes on without.
    async fn open(&self) {
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
    async fn interruption(&self) -> Interruption {
        let mut interrupted = self.interrupted.clone();
        match interrupted.wait_for(Option::is_some).await.map(|said| said.clone()) {
            Ok(Some(interruption)) => interruption,
            // Nobody is there any more who could say so.
            Ok(None) | Err(_) => std::future::pending().await,
        }
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
                State::Stopping { .. } => {
                    self.measurement.begin();
                    recording = recording.or_else(|| self.record());
                    self.stop().await
                }
                State::Collecting { outcome, started_at, ended_at } => {
                    self.measurement.end();
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
                    self.paired.did_not_start(&self.order, &step.message);
                }
            }
            state = transition.state;
        }
    }

    /// Gets the command to begin at its instant, or finds that it has, after a restart. An engine that does not
    /// answer has until the start deadline.
    async fn deploy(&self) -> Result<Observation, JournalError> {
        let mut backoff = Backoff::for_engine();
        loop {
            let failure = match self.try_deploy().await {
                Ok(observation) => return Ok(observation),
                Err(DeployError::Journal(error)) => return Err(error),
                Err(DeployError::Prepare(error @ PrepareError::Pull { .. })) => {
                    return Ok(Observation::ImageMissing(chain(&error)));
                }
                Err(error) => error,
            };
            if !failure.passes() || self.is_too_late() {
                let message = chain(&failure);
                if let Some(sysctl) = blamed(&self.order, &message) {
                    let message = format!("the sysctl `{sysctl}` of the job cannot be set: {message}");
                    return Ok(Observation::KernelRefused(message));
                }
                return Ok(Observation::NotStarted(chain(&failure)));
            }
            warn!(run = %self.order.key(), error = chain(&failure), "a run cannot be started yet; trying again");
            // Cancel-safe: neither holds anything.
            tokio::select! {
                () = time::sleep(backoff.next_wait()) => {}
                _ = self.interruption() => {}
            }
        }
    }

    async fn try_deploy(&self) -> Result<Observation, DeployError> {
        let Tools { runtime, journal, points, .. } = &self.tools;
        match runtime.inspect(&self.name).await? {
            Some(Condition::Running { started_at } | Condition::Ended { started_at, .. }) => {
                return Ok(started(started_at, self.held()));
            }
            Some(Condition::Unfit(why)) => return Ok(Observation::NotStarted(why)),
            Some(Condition::Created | Condition::Spent) | None => {}
        }
        if self.is_too_late() {
            return Ok(Observation::TooLate { offline: self.order.start_by.0 < self.tools.since });
        }
        let waiting = match Waiting::of(&self.order, &self.tools.telemetry) {
            Ok(waiting) => waiting,
            Err(omission) => return Ok(Observation::Omitted(omission)),
        };
        // Cancel-safe: what was made ready has not begun, and is removed with the run. From its release on, a run is
        // interrupted as one that runs.
        let digest = tokio::select! {
            biased;
            interruption = self.interruption() => return Ok(Observation::Interrupted(interruption)),
            ready = self.make_ready(&self.order) => ready?,
        };
        self.open().await;
        if let Err(error) = self.tools.kernel.check(&self.order).await {
            return Ok(Observation::KernelRefused(chain(&error)));
        }
        if let Some(digest) = digest {
            journal.set_image_digest(&self.order.key(), &digest).await?;
        }
        points.reach(Point::Ready);
        self.paired.want(&self.tools.servers, &self.order);
        let due = async {
            clock::sleep_until(self.order.begin() - SETTLED_AHEAD).await;
            self.measurement.begin();
            clock::sleep_until(self.order.begin()).await;
        };
        // Cancel-safe: as above; a measurement that does not begin ends with the worker.
        tokio::select! {
            biased;
            interruption = self.interruption() => return Ok(Observation::Interrupted(interruption)),
            () = due => {}
        }
        if self.is_too_late() {
            return Ok(Observation::TooLate { offline: self.order.start_by.0 < self.tools.since });
        }
        // Cancel-safe: as above.
        let server = tokio::select! {
            biased;
            interruption = self.interruption() => return Ok(Observation::Interrupted(interruption)),
            server = self.paired.server(&self.order) => server,
        };
        match server {
            Ok(None) => {}
            // It is reached elsewhere than was known when the container was made, and that is in its environment.
            Ok(Some(order)) => {
                runtime.remove(&self.name).await?;
                self.make_ready(&order).await?;
            }
            Err(why) => return Ok(Observation::NoServer(why)),
        }
        points.reach(Point::Due);
        let mut held = None;
        if let Some(waiting) = &waiting {
            // Cancel-safe: as above.
            let decided = tokio::select! {
                biased;
                interruption = self.interruption() => return Ok(Observation::Interrupted(interruption)),
                decided = waiting.decide() => decided,
            };
            match decided {
                Ok(by) => held = Some(by),
                Err(omission) => return Ok(Observation::Omitted(omission)),
            }
        }
        if let Err(error) = self.tools.kernel.apply(&self.order).await {
            return Ok(Observation::KernelRefused(chain(&error)));
        }
        if let Some(held) = &held {
            held.write(self.dir.path())?;
        }
        let started_at = runtime.release(&self.name).await?;
        points.reach(Point::Released);
        Ok(started(started_at, held))
    }

    /// By what the run's trigger held, if it waited for one.
    fn held(&self) -> Option<Held> {
        self.order.spec.trigger.as_ref().and_then(|_| Held::read(self.dir.path()))
    }

    /// Records what is measured, where something is.
    fn record(&self) -> Option<Recording> {
        let telemetry = &self.tools.telemetry;
        let is_recorded = telemetry.is_recorded() || self.order.spec.trigger.is_some();
        is_recorded.then(|| Recording::start(telemetry, self.dir.telemetry(), recording::LIMIT))
    }

    /// Does all that can be done before the instant: afterwards the command has but to begin. Returns the image's
    /// digest, if it has one.
    async fn make_ready(&self, order: &Order) -> Result<Option<String>, DeployError> {
        let Tools { runtime, .. } = &self.tools;
        self.prepare_folder()?;
        let spec = container::describe(order, &self.dir.files(), runtime.view());
        let digest = runtime.prepare(&spec.image).await?;
        if runtime.inspect(&self.name).await? == Some(Condition::Spent) {
            runtime.remove(&self.name).await?;
        }
        runtime.create(&spec).await?;
        runtime.hold(&self.name).await?;
        Ok(digest)
    }

    fn is_too_late(&self) -> bool {
        clock::now() > self.order.start_by.0
    }

    fn prepare_folder(&self) -> Result<(), DeployError> {
        let config = match &self.order.spec.config {
            Some(config) => serde_yaml::to_string(config).map_err(io::Error::other)?,
            None => String::new(),
        };
        let facts = Facts::of(&self.order).to_json()?;
        Ok(self.dir.prepare(&config, &facts)?)
    }

    /// Follows the container until it ends, its length is reached or it is to end, whatever the engine does meanwhile.
    async fn watch(&self) -> Observation {
        let mut backoff = Backoff::for_engine();
        self.paired.want(&self.tools.servers, &self.order);
        let log = self.log();
        let mut serving = pin!(self.paired.serve(self.tools.runtime.as_ref(), &self.name, &log, &self.order));
        loop {
            let left = clock::until(self.order.end(), clock::now());
            if left.is_zero() {
                // It may have ended by itself while nobody looked, and that counts.
                match self.end().await {
                    Ok(Some(ended)) => return self.paired.explain(ended),
                    Ok(None) => return Observation::LengthReached,
                    Err(error) => self.engine_failed(&error, &mut backoff).await,
                }
                continue;
            }
            let followed = tokio::select! {
                // Cancel-safe: what is followed is followed again, and a sleep holds nothing.
                followed = self.follow() => followed,
                () = clock::sleep_until(self.order.end()) => continue,
                interruption = self.interruption() => {
                    return Observation::Interrupted(self.paired.judge(interruption));
                }
                never = &mut serving => match never {},
                why = self.paired.lost() => {
                    let interruption = Interruption { reason: Reason::ServerUnavailable, message: why };
                    return Observation::Interrupted(interruption);
                }
            };
            match followed {
                Ok(()) => match self.end().await {
                    Ok(Some(ended)) => return self.paired.explain(ended),
                    Ok(None) => time::sleep(backoff.next_wait()).await,
                    Err(error) => self.engine_failed(&error, &mut backoff).await,
                },
                Err(error) => self.engine_failed(&error, &mut backoff).await,
            }
        }
    }

    /// Waits for the container's end and writes its log.
    async fn follow(&self) -> Result<(), RuntimeError> {
        let runtime = &self.tools.runtime;
        let log = self.log();
        let mut wait = runtime.wait(&self.name);
        let mut following = runtime.read_log(&self.name, &log, Reading::ToTheEnd);
        tokio::select! {
            // Cancel-safe: a log that is dropped is taken up where it stands.
            ended = &mut wait => {
                ended?;
                self.finish_log(following.await);
            }
            logged = &mut following => {
                self.finish_log(logged);
                wait.await?;
            }
        }
        Ok(())
    }

    /// Reads what came after the log was read last: whatever cut that off, the engine may have more.
    async fn read_rest_of_log(&self) {
        let mut backoff = Backoff::for_engine();
        let log = self.log();
        for attempt in 1.. {
            match self.tools.runtime.read_log(&self.name, &log, Reading::Now).await {
                Err(error) if attempt < LOG_ATTEMPTS => self.engine_failed(&error, &mut backoff).await,
                read => return self.finish_log(read),
            }
        }
    }

    fn log(&self) -> LogFiles {
        self.dir.log(self.tools.log_limit)
    }

    /// A log that cannot be had is no reason for a run to fail.
    fn finish_log(&self, logged: Result<(), RuntimeError>) {
        if let Err(error) = logged {
            warn!(run = %self.order.key(), error = chain(&error), "the log of a run is incomplete");
        }
    }

    /// How the container ended, if it did.
    async fn end(&self) -> Result<Option<Observation>, RuntimeError> {
        Ok(match self.tools.runtime.inspect(&self.name).await? {
            Some(Condition::Ended { exit, .. }) => Some(Observation::Exited(exit)),
            Some(Condition::Running { .. }) => None,
            Some(Condition::Created | Condition::Spent | Condition::Unfit(_)) | None => {
                Some(Observation::Lost)
            }
        })
    }

    async fn stop(&self) -> Observation {
        let mut backoff = Backoff::for_engine();
        loop {
            let stopped = async {
                self.tools.runtime.stop(&self.name).await?;
                self.end().await
            };
            match stopped.await {
                Ok(Some(ended)) => return ended,
                Ok(None) => time::sleep(backoff.next_wait()).await,
                Err(error) => self.engine_failed(&error, &mut backoff).await,
            }
        }
    }

    async fn engine_failed(&self, error: &RuntimeError, backoff: &mut Backoff) {
        warn!(run = %self.order.key(), error = chain(error), "the container engine failed; trying again");
        time::sleep(backoff.next_wait()).await;
    }

    /// Packs what the run left, away from the threads that serve everybody.
    async fn collect(
        &self,
        facts: Facts,
    ) -> Result<(Collected, Vec<crate::journal::UploadFile>), JournalError> {
        self.read_rest_of_log().await;
        let (dir, log) = (self.dir.clone(), self.log());
        let limit = self.order.artifacts_limit();
        let packed = task::spawn_blocking(move || {
            if let Err(error) = log.seal() {
                warn!(log = %log.log.display(), %error, "the end of a log cannot be added to it");
            }
            artifacts::collect(&dir, limit, |collected, files, left_out| {
                facts.with(collected, files, left_out).to_json()
            })
        })
        .await;
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

/// That a run began, and why.
fn started(at: DateTime<Utc>, held: Option<Held>) -> Observation {
    match held {
        Some(held) => Observation::Triggered { at, message: held.message() },
        None => Observation::Started(at),
    }
}

/// How often an engine is asked for the rest of a log; a run is not held up by it for ever.
const LOG_ATTEMPTS: u32 = 5;

/// Why a container could not be brought to run.
#[derive(Debug, Error)]
enum DeployError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("the folder of the run cannot be made")]
    Folder(#[from] io::Error),
}

impl DeployError {
    /// Whether it may be over in a moment.
    fn passes(&self) -> bool {
        matches!(
            self,
            Self::Prepare(PrepareError::Runtime(RuntimeError::Unreachable(_) | RuntimeError::Spent))
        )
    }
}

impl From<RuntimeError> for DeployError {
    fn from(error: RuntimeError) -> Self {
        Self::Prepare(PrepareError::Runtime(error))
    }
}
