//! What is said in a heartbeat: everything at first, and afterwards what has changed.

use almanac_proto::v1;
use almanac_schemas::{ClockOffset, NodeName};

use crate::desired::Version;

/// What there is to say about a node.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The version of the agent.
    pub agent_version: String,
    /// Which boot of the host this is.
    pub boot_id: String,
    /// The address that other nodes reach it at; empty if it is not known.
    pub address: String,
    /// What runs containers, or why it does not.
    pub engine: String,
    /// What the node holds of its desired state.
    pub version: Version,
    /// By how much its clock is off, if that was measured.
    pub clock: Option<ClockOffset>,
    /// How the host is.
    pub host: Option<v1::HostMetrics>,
    /// What the host says of what is to run.
    pub outlook: v1::Outlook,
}

/// What was said on a stream so far.
#[derive(Debug, Default)]
pub struct Said(Option<About>);

impl Said {
    /// The next heartbeat of a stream.
    pub fn next(&mut self, node: &NodeName, about: About) -> v1::HeartbeatRequest {
        let before = self.0.as_ref();
        // An absent value is as it was; in the first message, it is not known.
        fn news<T: PartialEq + Clone>(before: Option<&T>, now: &T) -> Option<T> {
            (before != Some(now)).then(|| now.clone())
        }
        let beat = v1::HeartbeatRequest {
            node: if before.is_none() { node.to_string() } else { String::new() },
            agent_version: news(before.map(|before| &before.agent_version), &about.agent_version),
            boot_id: news(before.map(|before| &before.boot_id), &about.boot_id),
            address: news(before.map(|before| &before.address), &about.address),
            engine: news(before.map(|before| &before.engine), &about.engine),
            epoch: news(before.map(|before| &before.version.epoch), &about.version.epoch),
            generation: news(before.map(|before| &before.version.generation), &about.version.generation),
            clock: news(before.map(|before| &before.clock), &about.clock).flatten().map(Into::into),
            host: news(before.map(|before| &before.host), &about.host).flatten(),
            outlook: news(before.map(|before| &before.outlook), &about.outlook),
        };
        self.0 = Some(about);
        beat
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn about() -> About {
        About {
            agent_version: "0.1.0".to_owned(),
            boot_id: "b2b07cf8-ddf8-46b1-9451-853fa417723b".to_owned(),
            address: String::new(),
            engine: "docker 28.2.2".to_owned(),
            version: Version { epoch: "7c1e5f0a-0000-4000-8000-000000000001".to_owned(), generation: 7 },
            clock: None,
            host: Some(v1::HostMetrics { load_hundredths: Some(42), ..Default::default() }),
            outlook: v1::Outlook::default(),
        }
    }

    #[test]
    fn everything_is_said_once_and_then_what_changes() {
        let node = "london-01".parse().unwrap();
        let mut said = Said::default();
        let first = said.next(&node, about());
        assert_eq!(first.node, "london-01");
        assert_eq!((first.address.as_deref(), first.generation), (Some(""), Some(7)));
        assert!(first.boot_id.is_some() && first.engine.is_some() && first.host.is_some());

        assert_eq!(said.next(&node, about()), v1::HeartbeatRequest::default());

        let offset = ClockOffset { offset_micros: -1_234, round_trip_micros: 40_000 };
        let changed =
            About { version: Version { generation: 8, ..about().version }, clock: Some(offset), ..about() };
        let expected =
            v1::HeartbeatRequest { generation: Some(8), clock: Some(offset.into()), ..Default::default() };
        let beat = said.next(&node, changed.clone());
        assert_eq!(beat, expected);
        assert!(beat.encoded_len() < 16, "{}", beat.encoded_len());

        // Another stream knows nothing of it.
        assert_eq!(Said::default().next(&node, changed).clock, Some(offset.into()));
    }
}
