//! What people said to this node, beside what the repository declares: the reconciler passes on what its users said, and
//! on this host its owner says it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Instant, Reason, RunId, job::OnRemove};

use crate::{
    desired::Desired,
    run::{Interruption, Order},
};

/// What the reconciler passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instructions {
    /// Whether new runs start.
    pub cordon: Option<Cordon>,
    /// The runs that are to end.
    pub cancellations: Vec<Cancellation>,
}

/// No new run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cordon {
    /// Who said so.
    pub actor: String,
    /// Why, for people; empty when nobody said.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// When it ends by itself, if it does.
    pub until: Option<Instant>,
    /// When what still runs is stopped, as a drain; absent: it ends as it would have.
    pub stop_at: Option<Instant>,
}

/// A run that is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// The run, both of its parts.
    pub run: RunId,
    /// Who said so.
    pub actor: String,
    /// Why, for people; empty when nobody said.
    pub reason: String,
}

/// All that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// To the reconciler.
    pub there: Instructions,
    /// On this host.
    pub here: Option<Cordon>,
}

impl TryFrom<v1::Instructions> for Instructions {
    type Error = FieldError;

    fn try_from(message: v1::Instructions) -> Result<Self, FieldError> {
        let cancellation = |message: v1::Cancellation| {
            let run = convert::parse("run_id", &message.run_id)?;
            Ok(Cancellation { run, actor: message.actor, reason: message.reason })
        };
        Ok(Self {
            cordon: message.cordon.map(Cordon::try_from).transpose()?,
            cancellations: message.cancellations.into_iter().map(cancellation).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::Cordon> for Cordon {
    type Error = FieldError;

    fn try_from(message: v1::Cordon) -> Result<Self, FieldError> {
        let optional = |field, at: Option<&_>| at.map(|at| convert::instant(field, Some(at))).transpose();
        Ok(Self {
            since: Instant(convert::instant("since", message.since.as_ref())?),
            until: optional("until", message.until.as_ref())?.map(Instant),
            stop_at: optional("stop_at", message.stop_at.as_ref())?.map(Instant),
            actor: message.actor,
            reason: message.reason,
        })
    }
}

impl From<&Cordon> for v1::Cordon {
    fn from(cordon: &Cordon) -> Self {
        let at = |instant: Instant| convert::timestamp(instant.0);
        Self {
            actor: cordon.actor.clone(),
            reason: cordon.reason.clone(),
            since: Some(at(cordon.since)),
            until: cordon.until.map(at),
            stop_at: cordon.stop_at.map(at),
        }
    }
}

impl Cordon {
    /// Whether it holds at an instant.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| at < until.0)
    }

    /// Whether what runs at an instant is stopped.
    fn stops(&self, at: DateTime<Utc>) -> bool {
        self.holds(at) && self.stop_at.is_some_and(|stop_at| stop_at.0 <= at)
    }
}

impl fmt::Display for Cordon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = if self.stop_at.is_some() { "drained" } else { "cordoned" };
        write!(f, "{} {deed} the node{}", self.actor, because(&self.reason))
    }
}

/// A reason after what it is the reason of, if there is one.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl Said {
    fn cordons(&self) -> impl Iterator<Item = &Cordon> {
        self.here.iter().chain(&self.there.cordon)
    }

    /// What keeps new runs from starting at an instant.
    pub fn cordoned(&self, at: DateTime<Utc>) -> Option<&Cordon> {
        self.cordons().find(|cordon| cordon.holds(at))
    }

    /// Why a run is to end that goes on, if it is.
    pub fn interruption(
        &self,
        order: &Order,
        desired: Option<&Desired>,
        now: DateTime<Utc>,
    ) -> Option<Interruption> {
        let key = order.key();
        if let Some(said) = self.there.cancellations.iter().find(|said| said.run == key.id) {
            let message = format!("{} cancelled it{}", said.actor, because(&said.reason));
            return Some(Interruption { reason: Reason::Cancelled, message });
        }
        let is_there = |desired: &Desired| {
            desired.assignments.iter().any(|there| there.job == order.job && there.role == order.role)
        };
        if order.spec.on_remove == OnRemove::Abort && desired.is_some_and(|desired| !is_there(desired)) {
            let message = "its job was removed from the repository".to_owned();
            return Some(Interruption { reason: Reason::Cancelled, message });
        }
        let drain = self.cordons().find(|cordon| cordon.stops(now))?;
        Some(Interruption { reason: Reason::Cordoned, message: drain.to_string() })
    }

    /// When what was said means something else than now.
    pub fn changes_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let instants = self.cordons().flat_map(|cordon| [cordon.until, cordon.stop_at]);
        instants.flatten().map(|at| at.0).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
