//! Containers of a Docker-compatible engine, over its socket.

use std::{collections::HashMap, time::Duration};

use almanac_schemas::{Size, container::Image};
use bollard::{
    errors::Error,
    models::{
        ContainerCreateBody, ContainerState, ContainerStateStatusEnum, HostConfig, Mount, MountType,
        NetworkCreateRequest, PortBinding,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptions,
    },
};
use chrono::{DateTime, SubsecRound, Utc};
use futures::{
    StreamExt, TryStreamExt,
    future::{BoxFuture, FutureExt},
};

use crate::{
    container::{AGENT_LABEL, ContainerName, ContainerSpec, NetworkChoice, ROLE_LABEL, RUN_LABEL, View},
    logs::{self, LogFiles, Reading, engine::ReadError},
    run::{Exit, RunKey},
};

use super::{Condition, PrepareError, Runtime, RuntimeError, STOP_GRACE};

/// How often a container is started while its network is there twice, and the pause in between:
/// removing a network takes a tenth of a second.
const AMBIGUOUS_ATTEMPTS: u32 = 10;
const AMBIGUOUS_PAUSE: Duration = Duration::from_millis(200);

/// A Docker-compatible engine.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    /// Who made a container: the agent's key. The node's name would not do, since nothing keeps two
    /// testbeds from having a node of the same name on one engine.
    agent: String,
    /// How much of a log is kept.
    log_limit: Size,
    /// Whether the engine has the driver that keeps every byte of a log.
    has_local_logs: bool,
}

impl Docker {
    /// Connects to the engine: at `host` (such as `unix:///run/podman/podman.sock`), or where Docker
    /// listens by default. The containers of `agent`, the fingerprint of the agent's key, are its own.
    ///
    /// # Errors
    ///
    /// When no engine answers.
    pub async fn connect(host: Option<&str>, agent: String, log_limit: Size) -> Result<Self, RuntimeError> {
        let client = match host {
            Some(host) => bollard::Docker::connect_with_host(host),
            None => bollard::Docker::connect_with_unix_defaults(),
        };
        // The engine may be older than the newest protocol that the library speaks.
        let client = client
            .map_err(RuntimeError::Unreachable)?
            .negotiate_version()
            .await
            .map_err(RuntimeError::Unreachable)?;
        let plugins = client.info().await.map_err(RuntimeError::Unreachable)?.plugins;
        let has_local_logs = plugins
            .and_then(|plugins| plugins.log)
            .is_some_and(|drivers| drivers.iter().any(|name| name == "local"));
        Ok(Self { client, agent, log_limit, has_local_logs })
    }

    async fn has_image(&self, image: &Image) -> Result<Option<Option<String>>, RuntimeError> {
        match self.client.inspect_image(image.as_str()).await {
            Ok(found) => {
                let repository = found.repo_digests.unwrap_or_default().into_iter().next();
                // An image that was never in a registry has no digest there; its id names it here.
                let digest = repository
                    .and_then(|name| name.split_once('@').map(|(_, digest)| digest.to_owned()))
                    .or(found.id);
                Ok(Some(digest))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(engine("look for an image", error)),
        }
    }

    /// Sees to it that there is one network of a name.
    ///
    /// A name is not unique: an engine lets two agents that ask at the same moment each make one, and
    /// from then on starts no container in either. The oldest stays; whoever finds later ones removes
    /// them, which the engine refuses while they are in use.
    async fn ensure_network(&self, name: &str) -> Result<(), RuntimeError> {
        if self.networks(name).await?.is_empty() {
            let request = NetworkCreateRequest {
                name: name.to_owned(),
                driver: Some("bridge".to_owned()),
                ..NetworkCreateRequest::default()
            };
            match self.client.create_network(request).await {
                // 409: another run or another agent was faster.
                Err(error) if status(&error) != Some(409) => return Err(engine("make a network", error)),
                _ => {}
            }
        }
        for later in self.networks(name).await?.iter().skip(1) {
            match self.client.remove_network(later).await {
                // 404: another agent found it too.
                Err(error) if status(&error) != Some(404) => return Err(engine("remove a network", error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The ids of the networks of a name, the oldest first.
    async fn networks(&self, name: &str) -> Result<Vec<String>, RuntimeError> {
        // The engine's filter also finds names that only contain this one.
        let filters = HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.client.list_networks(Some(options)).await;
        let mut networks = networks.map_err(|error| engine("look for a network", error))?;
        networks.retain(|network| network.name.as_deref() == Some(name));
        networks.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        Ok(networks.into_iter().filter_map(|network| network.id).collect())
    }
}

impl Runtime for Docker {
    fn describe(&self) -> BoxFuture<'_, Result<String, RuntimeError>> {
        async {
            let version = self.client.version().await.map_err(RuntimeError::Unreachable)?;
            Ok(format!("docker {}", version.version.unwrap_or_default()))
        }
        .boxed()
    }

    fn view(&self) -> View {
        View::Mounted
    }

    fn prepare<'a>(&'a self, image: &'a Image) -> BoxFuture<'a, Result<Option<String>, PrepareError>> {
        async move {
            if let Some(digest) = self.has_image(image).await? {
                return Ok(digest);
            }
            let options = CreateImageOptionsBuilder::new().from_image(&pull_name(image)).build();
            self.client
                .create_image(Some(options), None, None)
                .try_for_each(|_progress| async { Ok(()) })
                .await
                .map_err(|error| match engine("pull the image", error) {
                    RuntimeError::Engine { source, .. } => {
                        PrepareError::Pull { image: image.clone(), source }
                    }
                    unreachable => unreachable.into(),
                })?;
            Ok(self.has_image(image).await?.flatten())
        }
        .boxed()
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            if let NetworkChoice::Bridge(name) = &spec.network {
                self.ensure_network(name).await?;
            }
            let options = CreateContainerOptionsBuilder::new().name(spec.name.as_str()).build();
            match self.client.create_container(Some(options), body(self, spec)).await {
                // 409: it was made before, by this agent before it was killed.
                Err(error) if status(&error) != Some(409) => Err(engine("make the container", error)),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn start<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let mut attempts = 0;
            loop {
                let Err(error) =
                    self.client.start_container(name.as_str(), None::<StartContainerOptions>).await
                else {
                    return Ok(());
                };
                attempts += 1;
                // Another agent made the network at the same moment, and is about to remove it.
                if attempts == AMBIGUOUS_ATTEMPTS || !error.to_string().contains("ambiguous") {
                    return Err(engine("start the container", error));
                }
                tokio::time::sleep(AMBIGUOUS_PAUSE).await;
            }
        }
        .boxed()
    }

    fn inspect<'a>(
        &'a self,
        name: &'a ContainerName,
    ) -> BoxFuture<'a, Result<Option<Condition>, RuntimeError>> {
        async move {
            match self.client.inspect_container(name.as_str(), None::<InspectContainerOptions>).await {
                Ok(container) => Ok(container.state.as_ref().map(condition)),
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(engine("look at the container", error)),
            }
        }
        .boxed()
    }

    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let mut ends = self.client.wait_container(name.as_str(), None::<WaitContainerOptions>);
            match ends.next().await {
                // The library makes an error of an exit code that is not 0.
                None | Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
                Some(Err(error)) if status(&error) == Some(404) => Ok(()),
                Some(Err(error)) => Err(engine("wait for the container", error)),
            }
        }
        .boxed()
    }

    fn read_log<'a>(
        &'a self,
        name: &'a ContainerName,
        files: &'a LogFiles,
        reading: Reading,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            match logs::engine::read(&self.client, name, files, reading).await {
                Ok(()) => Ok(()),
                // With its container the log is gone.
                Err(ReadError::Engine(error)) if status(&error) == Some(404) => Ok(()),
                Err(ReadError::Engine(error)) => Err(engine("read the container's log", error)),
                Err(ReadError::Disk(source)) => Err(RuntimeError::Host { doing: "write the log", source }),
            }
        }
        .boxed()
    }

    fn stop<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let grace = i32::try_from(STOP_GRACE.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::new().signal("SIGTERM").t(grace).build();
            match self.client.stop_container(name.as_str(), Some(options)).await {
                // 304: it has ended; 404: it is gone.
                Err(error) if !matches!(status(&error), Some(304 | 404)) => {
                    Err(engine("stop the container", error))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match self.client.remove_container(name.as_str(), Some(options)).await {
                // 409: somebody removes it already.
                Err(error) if !matches!(status(&error), Some(404 | 409)) => {
                    Err(engine("remove the container", error))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RunKey>, RuntimeError>> {
        async {
            let filters = HashMap::from([("label", vec![format!("{AGENT_LABEL}={}", self.agent)])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            let containers = self
                .client
                .list_containers(Some(options))
                .await
                .map_err(|error| engine("list the containers", error))?;
            let key = |labels: HashMap<String, String>| {
                let label = |name: &str| labels.get(name).map(String::as_str);
                Some(RunKey { id: label(RUN_LABEL)?.parse().ok()?, role: label(ROLE_LABEL)?.parse().ok()? })
            };
            Ok(containers.into_iter().filter_map(|container| key(container.labels?)).collect())
        }
        .boxed()
    }
}

/// The name to pull by. Without a tag or digest an engine would pull every tag there is.
fn pull_name(image: &Image) -> String {
    let text = image.as_str();
    let last = text.rsplit('/').next().unwrap_or(text);
    if last.contains(':') || last.contains('@') { text.to_owned() } else { format!("{text}:latest") }
}

fn body(docker: &Docker, spec: &ContainerSpec) -> ContainerCreateBody {
    let mut labels: HashMap<_, _> = spec.labels.clone().into_iter().collect();
    labels.insert(AGENT_LABEL.to_owned(), docker.agent.clone());
    let bytes = |size: Size| size.as_bytes().cast_signed();
    let bridged = matches!(spec.network, NetworkChoice::Bridge(_));
    let ports: Vec<String> = spec.ports.iter().filter(|_| bridged).map(ToString::to_string).collect();
    let published = spec.ports.iter().filter(|_| bridged).map(|port| {
        let binding = PortBinding { host_ip: None, host_port: Some(port.number.to_string()) };
        (port.to_string(), Some(vec![binding]))
    });
    let host = HostConfig {
        mounts: Some(
            spec.mounts
                .iter()
                .map(|mount| Mount {
                    target: Some(mount.target.clone()),
                    source: Some(mount.source.display().to_string()),
                    typ: Some(MountType::BIND),
                    read_only: Some(mount.read_only),
                    ..Mount::default()
                })
                .collect(),
        ),
        // The engine's default may be a driver whose logs cannot be read back.
        log_config: Some(logs::engine::copy(docker.has_local_logs, docker.log_limit.as_bytes())),
        network_mode: Some(match &spec.network {
            NetworkChoice::Bridge(name) => name.clone(),
            NetworkChoice::Host => "host".to_owned(),
            NetworkChoice::None => "none".to_owned(),
        }),
        port_bindings: Some(published.collect()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.capabilities.iter().map(ToString::to_string).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        nano_cpus: spec.resources.cpus.map(nano_cpus),
        memory: spec.resources.memory.map(bytes),
        // The same as the memory: no swap on top of it.
        memory_swap: spec.resources.memory.map(bytes),
        pids_limit: spec.resources.pids.map(i64::from),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.to_string()),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels),
        exposed_ports: Some(ports),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion from a float saturates")]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

fn condition(state: &ContainerState) -> Condition {
    // Docker writes year 1 for what did not happen.
    let instant = |text: &Option<String>| {
        let instant = DateTime::parse_from_rfc3339(text.as_deref()?).ok()?.to_utc().trunc_subsecs(6);
        (instant > DateTime::<Utc>::UNIX_EPOCH).then_some(instant)
    };
    let Some(started_at) = instant(&state.started_at) else { return Condition::Created };
    let alive = [
        ContainerStateStatusEnum::RUNNING,
        ContainerStateStatusEnum::PAUSED,
        ContainerStateStatusEnum::RESTARTING,
    ];
    if state.status.is_some_and(|status| alive.contains(&status)) {
        return Condition::Running { started_at };
    }
    let exit = Exit {
        at: instant(&state.finished_at).unwrap_or(started_at),
        code: state.exit_code.and_then(|code| i32::try_from(code).ok()),
        out_of_memory: state.oom_killed.unwrap_or(false),
    };
    Condition::Ended { started_at, exit }
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// An answer of the engine is about what was asked; anything else means that there was none.
fn engine(doing: &'static str, source: Error) -> RuntimeError {
    match source {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            RuntimeError::Engine { doing, source }
        }
        source => RuntimeError::Unreachable(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, name) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("x/y:1", "x/y:1"),
            ("x@sha256:0123", "x@sha256:0123"),
        ] {
            assert_eq!(pull_name(&image.parse().unwrap()), name);
        }
    }
}
