//! Carries out one run, from where it stands to the point where its files are queued. It decides
//! nothing: it does what the state asks for, and journals what it sees before it goes on.

use std::{io, sync::Arc};

use serde::Serialize;
use thiserror::Error;
use tokio::{sync::Notify, task, time};
use tracing::{info, warn};

use almanac_schemas::{Instant, JobName, NodeName, RunId, RunRole, Size};

use crate::{
    artifacts::{self, Packed},
    backoff::Backoff,
    clock,
    container::{self, ContainerName},
    journal::{Journal, JournalError},
    logs::{LogFiles, Reading},
    runtime::{Condition, PrepareError, Runtime, RuntimeError, chain},
    state_dir::{RunDir, StateDir},
};

use super::{Collected, Observation, Order, Outcome, State};

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
}

/// Carries a run on from where it stands until its files are queued or it has finished. It can be
/// cut off at any instant and called again.
///
/// # Errors
///
/// When the journal cannot be written. Then nothing may be done any more, since nothing would be
/// remembered of it.
pub async fn carry_out(tools: Tools, order: Order, state: State) -> Result<(), JournalError> {
    let key = order.key();
    let worker = Worker { name: ContainerName::of(&key), dir: tools.state_dir.run(&key), tools, order };
    worker.run(state).await
}

struct Worker {
    tools: Tools,
    order: Order,
    name: ContainerName,
    dir: RunDir,
}

impl Worker {
    async fn run(&self, mut state: State) -> Result<(), JournalError> {
        loop {
            let observation = match &state {
                State::Deploying => self.deploy().await?,
                State::Running { .. } => self.watch().await,
                State::Stopping { .. } => self.stop().await,
                State::Collecting { outcome, started_at, ended_at } => {
                    let facts = self.facts().ended(outcome, *started_at, *ended_at);
                    let (collected, files) = self.collect(facts).await?;
                    let transition = state.next(Observation::Collected(collected), clock::now());
                    self.tools.journal.advance_with(&self.order, &transition, &files, clock::now()).await?;
                    state = transition.state;
                    continue;
                }
                State::Delivering { .. } => {
                    self.clean_up().await;
                    self.tools.upload.notify_one();
                    return Ok(());
                }
                State::Finished => {
                    self.clean_up().await;
                    self.remove_folder();
                    return Ok(());
                }
            };
            let transition = state.next(observation, clock::now());
            self.tools.journal.advance(&self.order, &transition, clock::now()).await?;
            if let Some(step) = &transition.step {
                info!(run = %self.order.key(), job = %self.order.job, phase = %step.phase, message = step.message, "run");
                self.tools.report.notify_one();
            }
            state = transition.state;
        }
    }

    /// Gets the container to run, or finds it running, or ended, after a restart.
    async fn deploy(&self) -> Result<Observation, JournalError> {
        let observation = match self.try_deploy().await {
            Ok(observation) => observation,
            Err(DeployError::Journal(error)) => return Err(error),
            Err(DeployError::Prepare(error @ PrepareError::Pull { .. })) => {
                Observation::ImageMissing(chain(&error))
            }
            Err(error) => Observation::NotStarted(chain(&error)),
        };
        Ok(observation)
    }

    async fn try_deploy(&self) -> Result<Observation, DeployError> {
        let Tools { runtime, journal, .. } = &self.tools;
        match runtime.inspect(&self.name).await? {
            Some(Condition::Running { started_at } | Condition::Ended { started_at, .. }) => {
                return Ok(Observation::Started(started_at));
            }
            Some(Condition::Created) => {}
            None => {
                if self.is_too_late() {
                    return Ok(Observation::TooLate);
                }
                self.prepare_folder()?;
                let spec = container::describe(&self.order, &self.dir.files(), runtime.view());
                if let Some(digest) = runtime.prepare(&spec.image).await? {
                    journal.set_image_digest(&self.order.key(), &digest).await?;
                }
                runtime.create(&spec).await?;
            }
        }
        if self.is_too_late() {
            return Ok(Observation::TooLate);
        }
        runtime.start(&self.name).await?;
        let started_at = match runtime.inspect(&self.name).await? {
            Some(Condition::Running { started_at } | Condition::Ended { started_at, .. }) => started_at,
            Some(Condition::Created) | None => clock::now(),
        };
        Ok(Observation::Started(started_at))
    }

    fn is_too_late(&self) -> bool {
        clock::now() > self.order.start_by.0
    }

    fn prepare_folder(&self) -> Result<(), DeployError> {
        let config = match &self.order.spec.config {
            Some(config) => serde_yaml::to_string(config).map_err(io::Error::other)?,
            None => String::new(),
        };
        let facts = self.facts().to_json()?;
        Ok(self.dir.prepare(&config, &facts)?)
    }

    /// Follows the container until it ends or its length is reached, whatever the engine does meanwhile.
    async fn watch(&self) -> Observation {
        let mut backoff = Backoff::for_engine();
        loop {
            let left = clock::until(self.order.end(), clock::now());
            if left.is_zero() {
                // It may have ended by itself while nobody looked, and that counts.
                match self.end().await {
                    Ok(Some(ended)) => return ended,
                    Ok(None) => return Observation::LengthReached,
                    Err(error) => self.engine_failed(&error, &mut backoff).await,
                }
                continue;
            }
            match time::timeout(left.min(LONGEST_SLEEP), self.follow()).await {
                Err(_elapsed) => {}
                Ok(Ok(())) => match self.end().await {
                    Ok(Some(ended)) => return ended,
                    Ok(None) => time::sleep(backoff.next_wait()).await,
                    Err(error) => self.engine_failed(&error, &mut backoff).await,
                },
                Ok(Err(error)) => self.engine_failed(&error, &mut backoff).await,
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
            Some(Condition::Created) | None => Some(Observation::Lost),
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
            let facts = facts.to_json().unwrap_or_default();
            artifacts::collect(&dir, &facts, limit)
        })
        .await;
        let Packed { collected, files } = packed.unwrap_or_else(|error| Packed {
            collected: Collected::Failed(format!("packing the artifacts ended early: {error}")),
            files: Vec::new(),
        });
        if let Collected::Failed(problem) = &collected {
            warn!(run = %self.order.key(), problem, "the artifacts of a run cannot be packed");
        }
        Ok((collected, files))
    }

    /// Removes the container. One that stays behind is found and removed at the next start.
    async fn clean_up(&self) {
        if let Err(error) = self.tools.runtime.remove(&self.name).await {
            warn!(run = %self.order.key(), error = chain(&error), "the container of a run cannot be removed");
        }
    }

    fn remove_folder(&self) {
        if let Err(error) = self.dir.remove() {
            warn!(folder = %self.dir.path().display(), %error, "the folder of a run cannot be removed");
        }
    }

    fn facts(&self) -> Facts {
        let order = &self.order;
        Facts {
            run: order.key().id,
            role: order.role,
            job: order.job.clone(),
            node: order.node.clone(),
            scheduled_at: order.scheduled_at,
            length: order.spec.schedule.length.as_secs(),
            image: container::part(order).image.to_string(),
            commit: order.commit.clone(),
            end: None,
        }
    }
}

/// How often an engine is asked for the rest of a log; a run is not held up by it for ever.
const LOG_ATTEMPTS: u32 = 5;

/// The longest sleep towards an instant of the wall clock, which may be set meanwhile.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(60);

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

impl From<RuntimeError> for DeployError {
    fn from(error: RuntimeError) -> Self {
        Self::Prepare(PrepareError::Runtime(error))
    }
}

/// What `run.json` says: to the container what the run is, and to whoever downloads it later also
/// how it ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    run: RunId,
    role: RunRole,
    job: JobName,
    node: NodeName,
    scheduled_at: Instant,
    /// Seconds.
    length: u64,
    image: String,
    commit: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    started_at: Instant,
    ended_at: Instant,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Facts {
    fn ended(self, outcome: &Outcome, started_at: Instant, ended_at: Instant) -> Self {
        Self { end: Some(End { started_at, ended_at, outcome: outcome.clone() }), ..self }
    }

    fn to_json(&self) -> io::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}
