//! Why there is no server, or none any more: what its agent says, and what that is to its client.

use almanac_schemas::{NodeName, Phase, Reason, scavenging};

use crate::{
    run::{Interruption, Observation},
    scheduler::Omission,
};

/// Why there is no server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// Why, for people.
    pub why: String,
    /// Whether its node makes room for its owner: the whole run does, then.
    pub made_room: bool,
}

impl Loss {
    /// What is said of the end of a server.
    pub fn of(reason: Reason, message: &str) -> Self {
        let why = if message.is_empty() { reason.to_string() } else { message.to_owned() };
        Self { why, made_room: reason == Reason::Scavenger }
    }

    /// What it is to a client that runs.
    pub fn interrupts(&self, server: &NodeName) -> Interruption {
        match self.made_room {
            true => {
                Interruption { reason: Reason::Scavenger, message: scavenging::of_server(server, &self.why) }
            }
            false => Interruption {
                reason: Reason::ServerUnavailable,
                message: format!("its server was lost: {}", self.why),
            },
        }
    }

    /// What it is to a client that has not begun.
    pub fn prevents(&self, server: &NodeName) -> Observation {
        match self.made_room {
            true => Observation::Omitted(Omission {
                phase: Phase::Skipped,
                reason: Reason::Scavenger,
                message: scavenging::of_server(server, &self.why),
            }),
            false => Observation::NoServer(format!("there was no server on `{server}`: {}", self.why)),
        }
    }
}

impl<T: Into<String>> From<T> for Loss {
    fn from(why: T) -> Self {
        Self { why: why.into(), made_room: false }
    }
}
