//! What containers send and receive, as the engine counts it.

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::{ContainerStatsResponse, ContainerSummary},
    query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder},
};
use futures::{StreamExt, stream};
use tokio::time;

use crate::{
    container::AGENT_LABEL,
    run::RunKey,
    telemetry::network::{Traffic, Usage},
};

use super::{Docker, RuntimeError, engine, key_of, status};

/// How many containers are asked at once.
const AT_ONCE: usize = 4;

/// How long an engine may take for one. Some collect figures over a second, also where they are told not to.
const PATIENCE: Duration = Duration::from_millis(700);

impl Docker {
    /// What the containers of this agent that run do with the network.
    pub(super) async fn network_usage(&self) -> Result<Usage, RuntimeError> {
        let filters = HashMap::from([("label", vec![format!("{AGENT_LABEL}={}", self.agent)])]);
        let options = ListContainersOptionsBuilder::new().filters(&filters).build();
        let running = self.client.list_containers(Some(options)).await;
        let running = running.map_err(|error| engine("list the containers", error))?;
        let asked = running.into_iter().filter_map(|container| {
            let run = key_of(container.labels.as_ref()?)?;
            Some(async move { (run, self.traffic(&container).await) })
        });
        let answers: Vec<(RunKey, Asked)> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let known = answers.into_iter().filter_map(|(run, asked)| match asked {
            Asked::Ended => None,
            Asked::Counted(traffic) => Some((run, Some(traffic))),
            Asked::Unknown => Some((run, None)),
        });
        Ok(known.collect())
    }

    async fn traffic(&self, container: &ContainerSummary) -> Asked {
        let mode = container.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
        match mode {
            // It has the host's interfaces, and nobody can tell its bytes from those of others.
            Some("host") => return Asked::Unknown,
            // It has none but its own loopback.
            Some("none") => return Asked::Counted(Traffic::default()),
            _ => {}
        }
        let Some(id) = &container.id else { return Asked::Unknown };
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = self.client.stats(id, Some(options));
        match time::timeout(PATIENCE, stats.next()).await {
            Ok(Some(Ok(stats))) => counted(&stats).map_or(Asked::Ended, Asked::Counted),
            Ok(Some(Err(error))) if status(&error) == Some(404) => Asked::Ended,
            Ok(None) => Asked::Ended,
            Ok(Some(Err(_))) | Err(_) => Asked::Unknown,
        }
    }
}

/// What an engine says of one container.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It ended meanwhile.
    Ended,
    Counted(Traffic),
    Unknown,
}

/// All of its interfaces together. One that has ended has none any more.
fn counted(stats: &ContainerStatsResponse) -> Option<Traffic> {
    let interfaces = stats.networks.as_ref().filter(|interfaces| !interfaces.is_empty())?;
    let sum = |count: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
        interfaces.values().filter_map(count).fold(0_u64, u64::saturating_add)
    };
    Some(Traffic { rx: sum(|stats| stats.rx_bytes), tx: sum(|stats| stats.tx_bytes) })
}
