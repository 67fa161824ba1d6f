//! What a host says of what is to run there.

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Cordon, Instant, JobName, NodeName, Scavenging};
use serde::{Deserialize, Serialize};

use super::said::shortened;

/// What a host says of what is to run there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// What its owner said there keeps new runs off.
    pub cordon: Option<Cordon>,
    /// Its owner said there that they want its link.
    #[serde(default)]
    pub scavenging: Option<Scavenging>,
    /// Why the next runs of jobs will not start, as far as is known.
    pub hindrances: Vec<Hindrance>,
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
        let cordon = message.cordon.map(Cordon::try_from).transpose().map_err(warn).ok().flatten();
        let cordon = cordon.map(|mut cordon: Cordon| {
            cordon.actor = shortened(cordon.actor);
            cordon.reason = shortened(cordon.reason);
            cordon
        });
        let hindrance = |message| Hindrance::try_from(message).map_err(warn).ok();
        let scavenging =
            message.scavenging.map(Scavenging::try_from).transpose().map_err(warn).ok().flatten();
        let scavenging = scavenging.map(|mut scavenging: Scavenging| {
            scavenging.actor = shortened(scavenging.actor);
            scavenging.reason = shortened(scavenging.reason);
            scavenging
        });
        Self {
            cordon,
            scavenging,
            hindrances: message.hindrances.into_iter().take(MOST).filter_map(hindrance).collect(),
        }
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
            scavenging: Some(v1::Scavenging { actor: "the host's owner".to_owned(), ..Default::default() }),
        };
        let read = Outlook::read(&node, message.clone());
        assert_eq!((read.cordon, read.scavenging), (None, None), "they have no instant");
        assert_eq!(
            read.hindrances.iter().map(|hindrance| hindrance.job.as_str()).collect::<Vec<_>>(),
            ["good"]
        );
        let many = v1::Outlook { hindrances: vec![hindrance("good", at); MOST + 1], ..message };
        assert_eq!(Outlook::read(&node, many).hindrances.len(), MOST);
    }
}
