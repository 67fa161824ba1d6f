//! Conditions: how the repository, a node and a job are, each with a reason, a text and since when, as
//! users of Kubernetes know them.
//!
//! `Ready` says that what is declared is what is so. `Stalled` says that it will not become so by itself:
//! somebody has to do something. `Stale` says that nobody knows: what should be heard or looked at is
//! silent for too long. Of a node, `ClockSkewed` says that its clock is off, which keeps no run from starting.
//! `Unfetched` says that the weather or the orbits that manifests of nodes ask for cannot be fetched.

mod job;
mod node;
mod repository;

use chrono::{DateTime, Utc};

pub use job::job;
pub use node::{KeptOff, NodeConditions, node};
pub use repository::{Standing, changed, repository};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: bool,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Which condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module says it")]
pub enum ConditionKind {
    Ready,
    Stalled,
    Stale,
    ClockSkewed,
    Unfetched,
}

impl ConditionKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Stalled => "Stalled",
            Self::Stale => "Stale",
            Self::ClockSkewed => "ClockSkewed",
            Self::Unfetched => "Unfetched",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition holds, or does not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

reasons! {
    /// Everything is as it should be.
    AsDeclared,
    /// The commit that somebody pinned is in force.
    Pinned,
    /// Nothing was looked at yet.
    NotYet,
    /// The latest commit has errors.
    Rejected,
    /// The latest commit removes much, and waits for a human's word.
    Waiting,
    /// Somebody wants the syncs to rest.
    Suspended,
    /// The repository could not be looked at.
    LookFailed,
    /// The repository was not looked at for too long.
    NotLooked,
    /// The repository was looked at.
    Looked,
    /// It goes on by itself.
    Progressing,
    /// The node was never heard of.
    NeverHeard,
    /// The node is silent.
    Silent,
    /// The node is heard of.
    Heard,
    /// The node's clock differs too much from the reconciler's.
    OffsetTooLarge,
    /// The node's clock agrees with the reconciler's.
    InStep,
    /// The node has not measured its clock yet.
    NotMeasured,
    /// The node does not hold its latest state yet.
    Lagging,
    /// The node is there, and does not take its latest state.
    NotTaken,
    /// The node is cordoned.
    Cordoned,
    /// The node's owner wants its link: it is in scavenger mode.
    Scavenging,
    /// The host of a node will not let the job run.
    Hindered,
    /// Nodes of the job are not ready.
    NodesNotReady,
    /// The job runs nowhere.
    NoNodes,
    /// The job's schedule has ended.
    Ended,
    /// What a node asks for was fetched.
    Fetched,
    /// What a node asks for cannot be fetched.
    FetchFailed,
    /// Nobody declared where it is to be fetched, or for which place.
    NoSource,
    /// No node asks for anything that is fetched.
    NotWanted,
}
