//! Where a run stands and how it moves on: a state and an observation make the next state and the
//! step that is reported.
//!
//! ```text
//! Deploying -> Running -> (Stopping ->) Collecting -> Delivering -> Finished
//!     |                                                                ^
//!     +-- could not start, or is not to any more ----------------------+
//! ```
//!
//! The worker acts on a state only after the journal holds it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use almanac_schemas::{Instant, Phase, Reason};

use crate::scheduler::Omission;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase")]
pub enum State {
    /// It is to run; perhaps its container exists already.
    Deploying,
    /// Its container was started.
    #[serde(rename_all = "camelCase")]
    Running {
        /// When, by the engine.
        started_at: Instant,
    },
    /// Its length is reached, or it is interrupted, and its container is being stopped.
    #[serde(rename_all = "camelCase")]
    Stopping {
        /// When the container was started.
        started_at: Instant,
        /// Why it does not go on to its length, if it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interruption: Option<Interruption>,
    },
    /// Its container has ended; what it left is being packed.
    #[serde(rename_all = "camelCase")]
    Collecting {
        /// How it ended.
        outcome: Outcome,
        /// When the container was started.
        started_at: Instant,
        /// When the container ended.
        ended_at: Instant,
    },
    /// Its files are on their way to the reconciler. Its place on the node is free.
    Delivering {
        /// How it ended.
        outcome: Outcome,
    },
    /// Nothing is left to do.
    Finished,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The terminal phase.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// Why, for people. Empty when there is nothing to add.
    pub message: String,
    /// The exit code, when the container ended by itself.
    pub exit_code: Option<i32>,
}

/// Why a run ends on purpose before its length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interruption {
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

impl From<Interruption> for Outcome {
    fn from(Interruption { reason, message }: Interruption) -> Self {
        let phase = match reason {
            // A server ends with its client.
            Reason::LengthReached => Phase::Completed,
            Reason::ServerUnavailable | Reason::Artifacts | Reason::ArtifactsTooLarge => Phase::Failed,
            _ => Phase::Aborted,
        };
        Self { phase, reason, message, exit_code: None }
    }
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// When, by the engine.
    pub at: DateTime<Utc>,
    /// Its exit code; absent when that is lost.
    pub code: Option<i32>,
    /// Whether it was killed because it took more memory than it may.
    pub out_of_memory: bool,
}

/// What became of a run's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// They are packed.
    Whole,
    /// They are packed but for what cannot be, and that is said. It is no failure of the run.
    InPart(String),
    /// The artifacts could not be packed.
    Failed(String),
    /// The artifacts are larger than they may be.
    TooLarge {
        /// What was found, in bytes, when counting stopped.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
}

/// What was seen of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The image cannot be had.
    ImageMissing(String),
    /// The container could not be made or started.
    NotStarted(String),
    /// A kernel setting that it declares could not be made.
    KernelRefused(String),
    /// The start deadline passed.
    TooLate {
        /// Whether no agent was there then.
        offline: bool,
    },
    /// There is no server for it in time.
    NoServer(String),
    /// The container was started.
    Started(DateTime<Utc>),
    /// The container was started, because its trigger held.
    Triggered {
        /// When it was started.
        at: DateTime<Utc>,
        /// By what the trigger held, for people.
        message: String,
    },
    /// It is not to begin.
    Omitted(Omission),
    /// The end of its length is reached.
    LengthReached,
    /// It is to end now.
    Interrupted(Interruption),
    /// The container ended.
    Exited(Exit),
    /// The container ended, and not well, after its server was lost.
    Bereft {
        /// How it ended.
        exit: Exit,
        /// Why there was no server any more, as it would have ended the run.
        loss: Interruption,
    },
    /// The engine knows nothing of the container any more.
    Lost,
    /// Its files are packed, or cannot be.
    Collected(Collected),
    /// The reconciler refused one of its files for good.
    Refused(String),
    /// All its files are with the reconciler.
    Delivered,
}

/// A step that is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The phase that the run is in now.
    pub phase: Phase,
    /// Why, when it is terminal.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The exit code, once it is known.
    pub exit_code: Option<i32>,
}

/// How a run moves on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Where it stands now.
    pub state: State,
    /// What is reported of it.
    pub step: Option<Step>,
}

/// How an occurrence is recorded that does not run.
pub fn omitted(omission: &Omission, now: DateTime<Utc>) -> Transition {
    let Omission { phase, reason, message } = omission.clone();
    finished(&Outcome { phase, reason, message, exit_code: None }, now)
}

impl State {
    /// How a new run begins.
    pub fn begin(now: DateTime<Utc>) -> Transition {
        Transition { state: Self::Deploying, step: Some(step(Phase::Deploying, now)) }
    }

    /// How the run moves on. An observation that means nothing in a state changes nothing: the
    /// same thing can be seen twice around a restart.
    pub fn next(self, observation: Observation, now: DateTime<Utc>) -> Transition {
        match (self, observation) {
            (Self::Deploying, Observation::ImageMissing(message)) => {
                finished(&failed(Reason::ImagePull, message), now)
            }
            (Self::Deploying, Observation::NotStarted(message)) => {
                finished(&failed(Reason::Runtime, message), now)
            }
            (Self::Deploying, Observation::KernelRefused(message)) => {
                finished(&failed(Reason::Kernel, message), now)
            }
            (Self::Deploying, Observation::TooLate { offline }) => {
                let (reason, message) = match offline {
                    true => (Reason::NodeOffline, "the node did not run at that time"),
                    false => (Reason::Late, "its start deadline passed before its container could start"),
                };
                let message = message.to_owned();
                finished(&Outcome { phase: Phase::Missed, reason, message, exit_code: None }, now)
            }
            (Self::Deploying, Observation::Started(at)) => Transition {
                state: Self::Running { started_at: Instant(at) },
                step: Some(step(Phase::Running, at)),
            },
            (Self::Deploying, Observation::Triggered { at, message }) => Transition {
                state: Self::Running { started_at: Instant(at) },
                step: Some(Step { message, ..step(Phase::Running, at) }),
            },
            (Self::Deploying, Observation::Omitted(omission)) => omitted(&omission, now),
            (Self::Running { started_at }, Observation::LengthReached) => {
                silently(Self::Stopping { started_at, interruption: None })
            }
            (Self::Deploying, Observation::NoServer(message)) => finished(&without_server(message), now),
            (Self::Deploying, Observation::Interrupted(interruption)) => {
                let outcome = match interruption.reason {
                    Reason::LengthReached | Reason::ServerUnavailable => without_server(interruption.message),
                    _ => interruption.into(),
                };
                finished(&outcome, now)
            }
            (Self::Running { started_at }, Observation::Interrupted(interruption)) => {
                silently(Self::Stopping { started_at, interruption: Some(interruption) })
            }
            (Self::Running { started_at }, Observation::Exited(exit)) => {
                collecting(started_at, exit.at, ended(&exit))
            }
            (Self::Running { started_at }, Observation::Bereft { exit, loss }) => {
                let own = ended(&exit);
                let lost = Outcome { exit_code: own.exit_code, ..loss.into() };
                collecting(started_at, exit.at, lost.adding(&own.message))
            }
            (Self::Stopping { started_at, interruption }, Observation::Exited(exit)) => {
                collecting(started_at, exit.at, interruption.map_or_else(length_reached, Outcome::from))
            }
            // Without its container nobody knows how it went; being stopped for its length is no excuse.
            (Self::Running { started_at } | Self::Stopping { started_at, .. }, Observation::Lost) => {
                let message = "its container disappeared while it ran".to_owned();
                collecting(started_at, now, failed(Reason::Runtime, message))
            }
            (Self::Collecting { outcome, .. }, Observation::Collected(collected)) => {
                silently(Self::Delivering { outcome: outcome.with(collected) })
            }
            (Self::Delivering { outcome }, Observation::Refused(message)) => {
                silently(Self::Delivering { outcome: outcome.with(Collected::Failed(message)) })
            }
            (Self::Delivering { outcome }, Observation::Delivered) => finished(&outcome, now),
            (state, _) => silently(state),
        }
    }

    /// Whether nothing is left to do.
    pub const fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }
}

impl Outcome {
    /// The outcome, given what became of the files. A run that failed or was interrupted keeps its own
    /// reason.
    #[must_use]
    pub(super) fn with(self, collected: Collected) -> Self {
        let (reason, message) = match collected {
            Collected::Whole => return self,
            Collected::InPart(message) => return self.adding(&message),
            Collected::Failed(message) => (Reason::Artifacts, message),
            Collected::TooLarge { size, limit } => (
                Reason::ArtifactsTooLarge,
                format!("its artifacts have at least {size} bytes, and {limit} are allowed"),
            ),
        };
        if matches!(self.phase, Phase::Failed | Phase::Aborted) {
            return self.adding(&message);
        }
        // What was said already is no less true.
        Self { phase: Phase::Failed, reason, ..self.adding(&message) }
    }

    fn adding(self, message: &str) -> Self {
        let message = [&self.message, message].join("; ");
        Self { message: message.trim_start_matches("; ").to_owned(), ..self }
    }
}

fn failed(reason: Reason, message: String) -> Outcome {
    Outcome { phase: Phase::Failed, reason, message, exit_code: None }
}

/// Nothing had started that a pair could lose.
fn without_server(message: String) -> Outcome {
    Outcome { phase: Phase::Skipped, reason: Reason::ServerUnavailable, message, exit_code: None }
}

/// Reaching the length is how many experiments are meant to end.
fn length_reached() -> Outcome {
    Outcome {
        phase: Phase::Completed,
        reason: Reason::LengthReached,
        message: String::new(),
        exit_code: None,
    }
}

fn ended(exit: &Exit) -> Outcome {
    let Some(code) = exit.code else {
        return failed(Reason::Runtime, "its container ended and left no exit code".to_owned());
    };
    let (phase, reason, message) = match code {
        _ if exit.out_of_memory => {
            (Phase::Failed, Reason::OutOfMemory, "it took more memory than it may".to_owned())
        }
        0 => (Phase::Completed, Reason::ExitCode, String::new()),
        _ => (Phase::Failed, Reason::ExitCode, format!("it ended with exit code {code}")),
    };
    Outcome { phase, reason, message, exit_code: Some(code) }
}

fn collecting(started_at: Instant, at: DateTime<Utc>, outcome: Outcome) -> Transition {
    let step = Step { exit_code: outcome.exit_code, ..step(Phase::Uploading, at) };
    Transition { state: State::Collecting { outcome, started_at, ended_at: Instant(at) }, step: Some(step) }
}

fn finished(outcome: &Outcome, at: DateTime<Utc>) -> Transition {
    let step = Step {
        phase: outcome.phase,
        reason: Some(outcome.reason),
        message: outcome.message.clone(),
        at,
        exit_code: outcome.exit_code,
    };
    Transition { state: State::Finished, step: Some(step) }
}

fn step(phase: Phase, at: DateTime<Utc>) -> Step {
    Step { phase, reason: None, message: String::new(), at, exit_code: None }
}

fn silently(state: State) -> Transition {
    Transition { state, step: None }
}

#[cfg(test)]
mod tests;
