//! What containers send and receive: the engine says which process a container is, and the kernel what went through its
//! interfaces. The engine's own figures come once a second and are collected for that, with all else that it counts.

use std::collections::HashMap;

use bollard::{
    models::ContainerSummary,
    query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder},
};
use tokio::task;

use crate::{
    container::AGENT_LABEL,
    run::RunKey,
    telemetry::network::{Traffic, Usage, of_container},
};

use super::{Docker, RuntimeError, engine, host, key_of, status};

impl Docker {
    /// What the containers of this agent that run do with the network.
    pub(super) async fn network_usage(&self) -> Result<Usage, RuntimeError> {
        let filters = HashMap::from([("label", vec![format!("{AGENT_LABEL}={}", self.agent)])]);
        let options = ListContainersOptionsBuilder::new().filters(&filters).build();
        let running = self.client.list_containers(Some(options)).await;
        let running = running.map_err(|error| engine("list the containers", error))?;
        let mut seen = Vec::with_capacity(running.len());
        for container in running {
            if let Some(run) = container.labels.as_ref().and_then(key_of)
                && let Some(kind) = self.kind(&container).await?
            {
                seen.push((run, kind));
            }
        }
        let counted = task::spawn_blocking(move || seen.into_iter().map(counted).collect());
        counted.await.map_err(|error| host("read what containers send")(error.into()))
    }

    /// How a container is seen; nothing where it has ended meanwhile.
    async fn kind(&self, container: &ContainerSummary) -> Result<Option<Kind>, RuntimeError> {
        let mode = container.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
        match (mode, &container.id) {
            // It has the host's interfaces, and nobody can tell its bytes from those of others.
            (Some("host"), _) | (_, None) => Ok(Some(Kind::Unknown)),
            // It has none but its own loopback.
            (Some("none"), _) => Ok(Some(Kind::Apart)),
            (_, Some(id)) => match self.client.inspect_container(id, None::<InspectContainerOptions>).await {
                Ok(found) => {
                    let process = found.state.and_then(|state| state.pid).filter(|process| *process > 0);
                    Ok(process.map(|process| Kind::Process { id: id.clone(), process }))
                }
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(engine("look at the container", error)),
            },
        }
    }
}

/// How a container's traffic is seen.
enum Kind {
    /// Not at all.
    Unknown,
    /// It has none.
    Apart,
    /// By its first process.
    Process { id: String, process: i64 },
}

fn counted((run, kind): (RunKey, Kind)) -> (RunKey, Option<Traffic>) {
    let traffic = match kind {
        Kind::Unknown => None,
        Kind::Apart => Some(Traffic::default()),
        Kind::Process { id, process } => of_container("/proc".as_ref(), process, &id),
    };
    (run, traffic)
}
