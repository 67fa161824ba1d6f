//! Gets a run's command to begin: makes its container ready, waits for its instant, its server and its trigger, and opens its
//! gate.

use std::io;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::time;
use tracing::warn;

use almanac_schemas::{Phase, Reason};

use crate::{
    backoff::Backoff,
    clock, container,
    journal::JournalError,
    kernel::access::blamed,
    point::Point,
    runtime::{Condition, PrepareError, RuntimeError, chain},
    scheduler::{Omission, SETTLED_AHEAD},
};

use super::{
    Observation, Order,
    facts::Facts,
    trigger::Held,
    waiting::Waiting,
    worker::{Tools, Worker},
};

impl Worker {
    /// Gets the command to begin at its instant, or finds that it has, after a restart. An engine that does not
    /// answer has until the start deadline.
    pub(super) async fn deploy(&self) -> Result<Observation, JournalError> {
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
        // It may have become less since this was settled, or an image that is to be pulled would not fit.
        if let Some(short) = self.tools.disk.shortage() {
            let (phase, reason, message) = (Phase::Skipped, Reason::ForbiddenByHost, short.to_string());
            return Ok(Observation::Omitted(Omission { phase, reason, message }));
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
            Err(without) => return Ok(without),
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

    /// Does all that can be done before the instant: afterwards the command has but to begin. Returns the image's
    /// digest, if it has one.
    pub(super) async fn make_ready(&self, order: &Order) -> Result<Option<String>, DeployError> {
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
}

/// That a run began, and why.
fn started(at: DateTime<Utc>, held: Option<Held>) -> Observation {
    match held {
        Some(held) => Observation::Triggered { at, message: held.message() },
        None => Observation::Started(at),
    }
}

/// Why a container could not be brought to run.
#[derive(Debug, Error)]
pub(super) enum DeployError {
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
