//! Runs: one per job, node and scheduled instant.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::{Duration, JobName, NodeName};

/// Identifies a run. It is a UUIDv5 (RFC 9562, section 5.5) of job, node and scheduled instant, so
/// that everybody who computes it finds the same and one instant never runs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

/// The namespace of run ids. It must never change: ids of the past would change with it.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_2d5e_9a4b_4c1f_8e57_a1b2_0d3c_4e5f);

/// A text that is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a run id: expected a UUID, such as `0c5a5a53-1c5a-5f0e-9d5e-2f4f3c1f7b11`")]
pub struct RunIdError(String);

impl RunId {
    /// The id of the run of a job on a node at a scheduled instant.
    pub fn new(job: &JobName, node: &NodeName, scheduled_at: DateTime<Utc>) -> Self {
        let instant = scheduled_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        Self(Uuid::new_v5(&NAMESPACE, format!("{job}/{node}/{instant}").as_bytes()))
    }

    /// How long after its instant the run begins where runs are spread over `jitter`: from nothing to just below that,
    /// always the same for the same run, and evenly spread over all runs.
    pub fn offset(&self, jitter: Duration) -> TimeDelta {
        // The first 48 bits of a UUIDv5 are those of a hash; the next four are its version.
        let bits = self.0.as_u128() >> 80;
        let micros = u128::from(jitter.as_secs()) * 1_000_000;
        let offset = (bits * micros) >> 48;
        TimeDelta::microseconds(i64::try_from(offset).unwrap_or(i64::MAX))
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| RunIdError(text.to_owned()))
    }
}

/// A word that is not one of an enumeration's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not a {what}: expected one of {expected}")]
pub struct WordError {
    what: &'static str,
    found: String,
    expected: String,
}

/// An enumeration whose values have one written form.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The written form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| WordError {
                    what: $what,
                    found: text.to_owned(),
                    expected: [$(concat!("`", $word, "`"),)+].join(", "),
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words! {
    /// Where a run is in its life.
    Phase, "phase" {
        /// The image is pulled and the container is made.
        Deploying = "DEPLOYING",
        /// The container runs.
        Running = "RUNNING",
        /// The container has ended and its artifacts are on their way.
        Uploading = "UPLOADING",
        /// It ran to its end.
        Completed = "COMPLETED",
        /// It ran, or tried to, and something went wrong.
        Failed = "FAILED",
        /// It was not to run: a condition, a mode or the host's owner said so.
        Skipped = "SKIPPED",
        /// It should have run and could not: nobody was there in time.
        Missed = "MISSED",
        /// It was interrupted on purpose.
        Aborted = "ABORTED",
        /// It was moved to another instant.
        Rescheduled = "RESCHEDULED",
    }
}

impl Phase {
    /// Whether nothing comes after it.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Deploying | Self::Running | Self::Uploading)
    }
}

words! {
    /// Why a run ended in its terminal phase.
    Reason, "reason" {
        /// The container ended by itself. With [`Phase::Completed`] its exit code is 0.
        ExitCode = "exit_code",
        /// The container was stopped at the end of its length.
        LengthReached = "length_reached",
        /// The image could not be pulled.
        ImagePull = "image_pull",
        /// The engine could not make or start the container, or lost it.
        Runtime = "runtime",
        /// The artifacts could not be packed or stored.
        Artifacts = "artifacts",
        /// The artifacts are larger than they may be.
        ArtifactsTooLarge = "artifacts_too_large",
        /// The container took more memory than it may.
        OutOfMemory = "out_of_memory",
        /// The node did not run at that time.
        NodeOffline = "node_offline",
        /// The start deadline passed before the run could start.
        Late = "late",
        /// The node is cordoned.
        Cordoned = "cordoned",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// The job asks for something that this agent cannot do.
        Unsupported = "unsupported",
        /// The host's own policy does not allow it.
        ForbiddenByHost = "forbidden_by_host",
        /// Another exclusive run had the node.
        Busy = "busy",
        /// Its trigger did not hold, or could not be decided.
        TriggerFalse = "trigger_false",
        /// Its server was not ready in time, or was lost.
        ServerUnavailable = "server_unavailable",
        /// The node's owner wanted the link for themselves.
        Scavenger = "scavenger",
        /// It was to be moved, and no time was free.
        NoSlot = "no_slot",
        /// A kernel setting could not be made, or may not be made any more.
        Kernel = "kernel",
    }
}

words! {
    /// Which part of a job a container is.
    RunRole, "role" {
        /// The job's container.
        Client = "client",
        /// The container of its server.
        Server = "server",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ids of the past must stay what they were.
    #[test]
    fn a_run_id_is_fixed_by_job_node_and_instant() {
        let id = |job: &str, node: &str, seconds: i64| {
            let instant = DateTime::from_timestamp(seconds, 0).unwrap();
            RunId::new(&job.parse().unwrap(), &node.parse().unwrap(), instant)
        };
        let one = id("ping", "london-01", 1_800_000_000);
        assert_eq!(one.to_string(), "8d863d4f-9fe6-5c16-837c-10e6c0fa0321");
        assert_eq!(one.to_string().parse::<RunId>().unwrap(), one);
        assert_ne!(one, id("ping", "london-01", 1_800_000_001));
        assert_ne!(one, id("ping", "london-02", 1_800_000_000));
    }

    /// Offsets must stay what they were, too: agents of different versions would begin at different instants.
    #[test]
    fn runs_are_spread_over_the_jitter() {
        let runs = (0..1000).map(|seconds| {
            let instant = DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
            RunId::new(&"ping".parse().unwrap(), &"london-01".parse().unwrap(), instant)
        });
        let offsets: Vec<i64> =
            runs.map(|run| run.offset(Duration::from_secs(10)).num_microseconds().unwrap()).collect();
        assert_eq!(offsets[0], 5_528_295);
        for second in 0..10 {
            let within = offsets.iter().filter(|offset| **offset / 1_000_000 == second).count();
            assert!((60..140).contains(&within), "{within} of 1000 in second {second}");
        }
    }

    proptest! {
        #[test]
        fn an_offset_is_within_the_jitter(id: u128, seconds in 0..u64::from(u32::MAX)) {
            let run = RunId(Uuid::from_u128(id));
            let offset = run.offset(Duration::from_secs(seconds));
            prop_assert_eq!(offset, run.offset(Duration::from_secs(seconds)));
            prop_assert!(offset >= TimeDelta::zero());
            prop_assert!(seconds == 0 && offset.is_zero() || offset < Duration::from_secs(seconds).to_delta());
        }
    }

    #[test]
    fn words_have_one_form() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse::<Phase>().unwrap(), *phase);
        }
        assert!(Phase::Failed.is_terminal() && !Phase::Running.is_terminal());
        assert!("completed".parse::<Phase>().unwrap_err().to_string().contains("`COMPLETED`"));
    }
}
