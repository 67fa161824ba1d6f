//! What a host says of what is to run there.

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Instant, JobName, NodeName};
use serde::{Deserialize, Serialize};

use super::said::shortened;
use crate::store::CordonRow;

/// What a host says of what is to run there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// What its owner said there keeps new runs off.
    pub cordon: Option<HostCordon>,
    /// Why the next runs of jobs will not start, as far as is known.
    pub hindrances: Vec<Hindrance>,
}

/// New runs are kept off a node by what its owner said on the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCordon {
    /// Who said so.
    pub actor: String,
    /// Why; empty when nobody said.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// Until when; for good when absent.
    pub until: Option<Instant>,
    /// When what still runs is stopped; it goes on to its end when absent.
    pub stop_at: Option<Instant>,
}

/// Why the next run of a job will not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hindrance {
    /// The job.
    pub job: JobName,
    /// The run's instant.
    pub scheduled_at: Instant,
    /// Why, for people.
    pub message: String,
}

/// The most hindrances that are kept of a node, as the protocol says.
const MOST: usize = 100;

impl Outlook {
    /// Reads what an agent says. What makes no sense is left out with a warning: it is for people.
    pub(super) fn read(node: &NodeName, message: v1::Outlook) -> Self {
        let warn = |error: FieldError| tracing::warn!(%node, %error, "what a host says is left out");
        let cordon = message.cordon.map(HostCordon::try_from).transpose().map_err(warn).ok().flatten();
        let hindrance = |message| Hindrance::try_from(message).map_err(warn).ok();
        Self { cordon, hindrances: message.hindrances.into_iter().take(MOST).filter_map(hindrance).collect() }
    }
}

impl TryFrom<v1::Cordon> for HostCordon {
    type Error = FieldError;

    fn try_from(message: v1::Cordon) -> Result<Self, FieldError> {
        let optional = |field, at: Option<&_>| at.map(|at| convert::instant(field, Some(at))).transpose();
        Ok(Self {
            since: Instant(convert::instant("since", message.since.as_ref())?),
            until: optional("until", message.until.as_ref())?.map(Instant),
            stop_at: optional("stop_at", message.stop_at.as_ref())?.map(Instant),
            actor: shortened(message.actor),
            reason: shortened(message.reason),
        })
    }
}

impl TryFrom<v1::Hindrance> for Hindrance {
    type Error = FieldError;

    fn try_from(message: v1::Hindrance) -> Result<Self, FieldError> {
        Ok(Self {
            job: convert::parse("job", &message.job)?,
            scheduled_at: Instant(convert::instant("scheduled_at", message.scheduled_at.as_ref())?),
            message: shortened(message.message),
        })
    }
}

impl HostCordon {
    /// As what people said to the reconciler is kept.
    pub fn row(&self, node: &NodeName) -> CordonRow {
        CordonRow {
            node: node.clone(),
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            since: self.since.0,
            until: self.until.map(|at| at.0),
            stop_at: self.stop_at.map(|at| at.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_left_out_and_the_rest_is_kept() {
        let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
        let hindrance = |job: &str, scheduled_at| v1::Hindrance {
            job: job.to_owned(),
            scheduled_at,
            reason: v1::Reason::ForbiddenByHost.into(),
            message: "the host is quiet".to_owned(),
        };
        let node = "london-01".parse().unwrap();
        let message = v1::Outlook {
            cordon: Some(v1::Cordon { actor: "the host's owner".to_owned(), ..Default::default() }),
            hindrances: vec![hindrance("good", at), hindrance("Bad Name", at), hindrance("never", None)],
        };
        let read = Outlook::read(&node, message.clone());
        assert_eq!(read.cordon, None, "it has no instant");
        assert_eq!(
            read.hindrances.iter().map(|hindrance| hindrance.job.as_str()).collect::<Vec<_>>(),
            ["good"]
        );
        let many = v1::Outlook { hindrances: vec![hindrance("good", at); MOST + 1], ..message };
        assert_eq!(Outlook::read(&node, many).hindrances.len(), MOST);
    }
}
