//! Follows a run's container until it has ended, keeps what it writes, and stops it.

use std::pin::pin;

use tokio::time;
use tracing::warn;

use almanac_schemas::Reason;

use crate::{
    backoff::Backoff,
    clock,
    logs::{LogFiles, Reading},
    runtime::{Condition, RuntimeError, SHORT_GRACE, STOP_GRACE, chain},
};

use super::{Interruption, Observation, worker::Worker};

impl Worker {
    /// Follows the container until it ends, its length is reached or it is to end, whatever the engine does meanwhile.
    pub(super) async fn watch(&self) -> Observation {
        let mut backoff = Backoff::for_engine();
        self.paired.want(&self.tools.servers, &self.order);
        let log = self.log();
        let watched = self.watched();
        let mut serving = pin!(self.paired.serve(self.tools.runtime.as_ref(), &self.name, &log, &self.order));
        loop {
            let left = clock::until(self.order.end(), clock::now());
            if left.is_zero() {
                // It may have ended by itself while nobody looked, and that counts.
                match self.end().await {
                    Ok(Some(ended)) => return self.paired.explain(&self.order, ended),
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
                interruption = watched.over() => return Observation::Interrupted(interruption),
                never = &mut serving => match never {},
                loss = self.paired.lost(&self.order) => return Observation::Interrupted(loss),
            };
            match followed {
                Ok(()) => match self.end().await {
                    Ok(Some(ended)) => return self.paired.explain(&self.order, ended),
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
    pub(super) async fn read_rest_of_log(&self) {
        let mut backoff = Backoff::for_engine();
        let log = self.log();
        for attempt in 1.. {
            match self.tools.runtime.read_log(&self.name, &log, Reading::Now).await {
                Err(error) if attempt < LOG_ATTEMPTS => self.engine_failed(&error, &mut backoff).await,
                read => return self.finish_log(read),
            }
        }
    }

    pub(super) fn log(&self) -> LogFiles {
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

    /// Stops the container, for its length or for what interrupted it.
    pub(super) async fn stop(&self, interruption: Option<&Interruption>) -> Observation {
        let grace = match interruption.map(|interruption| interruption.reason) {
            Some(Reason::Artifacts | Reason::ArtifactsTooLarge) => SHORT_GRACE,
            _ => STOP_GRACE,
        };
        let mut backoff = Backoff::for_engine();
        loop {
            let stopped = async {
                self.tools.runtime.stop(&self.name, grace).await?;
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
}

/// How often an engine is asked for the rest of a log; a run is not held up by it for ever.
const LOG_ATTEMPTS: u32 = 5;
