//! What people said to this node, beside what the repository declares: the reconciler passes on what its users said, and
//! on this host its owner says it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Cordon, Reason, RunId, Scavenging, job::OnRemove};

use crate::{
    desired::Desired,
    moves::Move,
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
    /// The node's owner wants its link.
    #[serde(default)]
    pub scavenging: Option<Scavenging>,
    /// The runs that start at another instant than their manifests say.
    #[serde(default)]
    pub moves: Vec<Move>,
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
    /// On this host: its owner wants its link.
    pub scavenging_here: Option<Scavenging>,
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
            scavenging: message.scavenging.map(Scavenging::try_from).transpose()?,
            moves: message.moves.into_iter().map(Move::try_from).collect::<Result<_, _>>()?,
        })
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

    fn scavengings(&self) -> impl Iterator<Item = &Scavenging> {
        self.scavenging_here.iter().chain(&self.there.scavenging)
    }

    /// Who wants the node's link for themselves at an instant.
    pub fn scavenging(&self, at: DateTime<Utc>) -> Option<&Scavenging> {
        self.scavengings().find(|scavenging| scavenging.holds(at))
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
        if let Some(scavenging) = self.scavenging(now).filter(|_| order.spec.exclusive) {
            return Some(Interruption { reason: Reason::Scavenger, message: scavenging.to_string() });
        }
        let drain = self.cordons().find(|cordon| cordon.stops(now))?;
        Some(Interruption { reason: Reason::Cordoned, message: drain.to_string() })
    }

    /// When what was said means something else than now.
    pub fn changes_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let instants = self.cordons().flat_map(|cordon| [cordon.until, cordon.stop_at]);
        let instants = instants.chain(self.scavengings().map(|scavenging| scavenging.until));
        instants.flatten().map(|at| at.0).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
