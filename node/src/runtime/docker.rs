//! Containers of a Docker-compatible engine, over its socket.

mod form;
mod usage;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use almanac_schemas::{Size, container::Image};
use bollard::{
    errors::Error,
    exec::{StartExecOptions, StartExecResults},
    models::{ExecConfig, NetworkCreateRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, InspectContainerOptionsBuilder,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptions,
    },
};
use chrono::{DateTime, Utc};
use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};

use crate::{
    container::{AGENT_LABEL, ContainerName, ContainerSpec, NetworkChoice, ROLE_LABEL, RUN_LABEL, View},
    gate::{Gates, Passage},
    images::{Images, PullError, PullSettings},
    journal::Journal,
    logs::{self, LogFiles, Reading, engine::ReadError},
    run::RunKey,
    telemetry::network::Usage,
};

use super::{Condition, PrepareError, Runtime, RuntimeError, host};
use form::{body, condition};

/// How often a container is started while its network is there twice, and the pause in between:
/// removing a network takes a tenth of a second.
const AMBIGUOUS_ATTEMPTS: u32 = 10;
const AMBIGUOUS_PAUSE: Duration = Duration::from_millis(200);

/// How long a started container may take to come up, on the slowest of boards.
const COMING_UP: Duration = Duration::from_secs(60);
/// What an engine is able to do on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a limit of its own")]
pub struct Abilities {
    /// Its name and version.
    pub engine: String,
    /// The version of the kernel's control groups.
    pub cgroups: String,
    /// Whether memory can be limited.
    pub memory: bool,
    /// Whether swap can be limited.
    pub swap: bool,
    /// Whether CPUs can be limited.
    pub cpus: bool,
    /// Whether processes can be limited.
    pub pids: bool,
}

/// A Docker-compatible engine.
#[derive(Debug, Clone)]
pub struct Docker {
    pub(super) client: bollard::Docker,
    images: Images,
    gates: Gates,
    /// Who made a container: the agent's key. The node's name would not do, since nothing keeps two
    /// testbeds from having a node of the same name on one engine.
    pub(super) agent: String,
    /// How much of a log is kept.
    log_limit: Size,
    /// Whether the engine has the driver that keeps every byte of a log.
    has_local_logs: bool,
    /// Where it has images and containers.
    folder: Option<PathBuf>,
}

impl Docker {
    /// Connects to the engine: at `host` (such as `unix:///run/podman/podman.sock`), or where Docker
    /// listens by default. The containers of `agent`, the fingerprint of the agent's key, are its own; `ledger`
    /// is where it records which images are.
    /// Its containers wait at these gates.
    ///
    /// # Errors
    ///
    /// When no engine answers.
    pub async fn connect(
        host: Option<&str>,
        agent: String,
        pulls: PullSettings,
        ledger: Option<Journal>,
        gates: Gates,
        log_limit: Size,
    ) -> Result<Self, RuntimeError> {
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
        let info = client.info().await.map_err(RuntimeError::Unreachable)?;
        let has_local_logs = info
            .plugins
            .and_then(|plugins| plugins.log)
            .is_some_and(|drivers| drivers.iter().any(|name| name == "local"));
        Ok(Self {
            images: Images::new(client.clone(), pulls, ledger),
            client,
            gates,
            agent,
            log_limit,
            has_local_logs,
            folder: info.docker_root_dir.filter(|folder| !folder.is_empty()).map(PathBuf::from),
        })
    }

    /// What the engine is able to do.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn abilities(&self) -> Result<Abilities, RuntimeError> {
        let info = self.client.info().await.map_err(|error| engine("describe itself", error))?;
        Ok(Abilities {
            engine: format!("docker {}", info.server_version.unwrap_or_default()),
            cgroups: info.cgroup_version.map_or("unknown".to_owned(), |version| version.to_string()),
            memory: info.memory_limit.unwrap_or(false),
            swap: info.swap_limit.unwrap_or(false),
            cpus: info.cpu_cfs_quota.unwrap_or(false),
            pids: info.pids_limit.unwrap_or(false),
        })
    }

    /// Whether the engine leaves out parts of logs that somebody follows: Docker before 23, which spoke version 1.42 of
    /// its protocol. Others that speak an older one have no such driver.
    fn skips_logs(&self) -> bool {
        let version = self.client.client_version();
        self.has_local_logs && (version.major_version, version.minor_version) < (1, 42)
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

    /// What a container runs: the job's command where it gives one, behind what its image begins with.
    async fn command(&self, spec: &ContainerSpec) -> Result<Vec<String>, RuntimeError> {
        let image = self.client.inspect_image(spec.image.as_str()).await;
        let image = image.map_err(|error| engine("look at the image", error))?.config.unwrap_or_default();
        let mut command = image.entrypoint.unwrap_or_default();
        command.extend(if spec.command.is_empty() {
            image.cmd.unwrap_or_default()
        } else {
            spec.command.clone()
        });
        if command.is_empty() { Err(RuntimeError::NoCommand) } else { Ok(command) }
    }

    async fn start(&self, name: &ContainerName) -> Result<(), RuntimeError> {
        let mut attempts = 0;
        loop {
            let started = self.client.start_container(name.as_str(), None::<StartContainerOptions>).await;
            let error = match started {
                // 304: it runs already.
                Err(error) if status(&error) != Some(304) => error,
                _ => return Ok(()),
            };
            attempts += 1;
            // Another agent made the network at the same moment, and is about to remove it.
            if attempts == AMBIGUOUS_ATTEMPTS || !error.to_string().contains("ambiguous") {
                return Err(engine("start the container", error));
            }
            tokio::time::sleep(AMBIGUOUS_PAUSE).await;
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
                labels: Some(HashMap::from([(AGENT_LABEL.to_owned(), self.agent.clone())])),
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
            let component = version.components.into_iter().flatten().next();
            // Docker says `Engine`, and Podman `Podman Engine`.
            let engine = match component {
                Some(component) if component.name.starts_with("Podman") => "podman",
                _ => "docker",
            };
            Ok(format!("{engine} {}", version.version.unwrap_or_default()))
        }
        .boxed()
    }

    fn view(&self) -> View {
        View::Mounted
    }

    fn prepare<'a>(&'a self, image: &'a Image) -> BoxFuture<'a, Result<Option<String>, PrepareError>> {
        async move {
            if let Some(digest) = self.has_image(image).await? {
                self.images.note_use(image).await;
                return Ok(digest);
            }
            self.images.pull(image).await.map_err(|error| match error {
                PullError::Engine(source) => RuntimeError::Lost(source).into(),
                source => PrepareError::Pull { image: image.clone(), source },
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
            self.gates.prepare(&spec.name).map_err(host("make the folder of the gate"))?;
            let command = self.command(spec).await?;
            let body = body(self, spec, command);
            let options = CreateContainerOptionsBuilder::new().name(spec.name.as_str()).build();
            match self.client.create_container(Some(options), body).await {
                Ok(_) => Ok(()),
                // It was made before, ahead of its instant or by this agent before it was killed: Docker says 409 then,
                // and Podman 500.
                Err(_) if self.inspect(&spec.name).await?.is_some() => Ok(()),
                Err(error) => Err(engine("make the container", error)),
            }
        }
        .boxed()
    }

    fn hold<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            if self.gates.holds(name) {
                return Ok(());
            }
            let listener = self.gates.listen(name).map_err(host("listen for the container"))?;
            self.start(name).await?;
            tokio::select! {
                // Cancel-safe: a gate that was not taken comes again, and a wait takes nothing.
                held = self.gates.hold(name, &listener) => held.map_err(host("hold the container")),
                ended = self.wait(name) => ended.and(Err(RuntimeError::Spent)),
                () = tokio::time::sleep(COMING_UP) => {
                    let source = io::Error::new(io::ErrorKind::TimedOut, "it does not come up");
                    Err(RuntimeError::Host { doing: "hold the container", source })
                }
            }
        }
        .boxed()
    }

    fn release<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<DateTime<Utc>, RuntimeError>> {
        async move {
            match self.gates.open(name).await.map_err(host("release the container"))? {
                Passage::Passed(at) => Ok(at),
                Passage::Failed(why) => Err(RuntimeError::Unfit(why)),
                Passage::Closed => Err(RuntimeError::Spent),
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
                Ok(container) => {
                    let passage =
                        self.gates.passage(name).map_err(host("look at the gate of the container"))?;
                    Ok(container.state.as_ref().map(|state| condition(state, passage)))
                }
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

    fn addresses<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<Vec<IpAddr>, RuntimeError>> {
        async move {
            let container =
                self.client.inspect_container(name.as_str(), None::<InspectContainerOptions>).await;
            let container = container.map_err(|error| engine("look at the container", error))?;
            if container.host_config.and_then(|host| host.network_mode).as_deref() == Some("host") {
                return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
            }
            let networks = container.network_settings.and_then(|settings| settings.networks);
            let addresses = networks.into_iter().flatten().flat_map(|(_, network)| {
                [network.ip_address, network.global_ipv6_address].into_iter().flatten()
            });
            Ok(addresses.filter_map(|address| address.parse().ok()).collect())
        }
        .boxed()
    }

    fn execute<'a>(
        &'a self,
        name: &'a ContainerName,
        command: &'a [String],
    ) -> BoxFuture<'a, Result<i64, RuntimeError>> {
        async move {
            let failed = |error| engine("run a command in the container", error);
            // With its output attached, its end is seen.
            let config = ExecConfig {
                cmd: Some(command.to_vec()),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                ..ExecConfig::default()
            };
            let id = self.client.create_exec(name.as_str(), config).await.map_err(failed)?.id;
            let started = self.client.start_exec(&id, None::<StartExecOptions>).await.map_err(failed)?;
            if let StartExecResults::Attached { mut output, .. } = started {
                while output.next().await.transpose().map_err(failed)?.is_some() {}
            }
            let ended = self.client.inspect_exec(&id).await.map_err(failed)?;
            Ok(ended.exit_code.unwrap_or(-1))
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
            match logs::engine::read(&self.client, name, files, reading, self.skips_logs()).await {
                Ok(()) => Ok(()),
                // With its container the log is gone.
                Err(ReadError::Engine(error)) if status(&error) == Some(404) => Ok(()),
                Err(ReadError::Engine(error)) => Err(engine("read the container's log", error)),
                Err(ReadError::Disk(source)) => Err(RuntimeError::Host { doing: "write the log", source }),
            }
        }
        .boxed()
    }

    fn stop<'a>(
        &'a self,
        name: &'a ContainerName,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            let grace = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
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
            self.gates.forget(name);
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

    fn process<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<Option<i32>, RuntimeError>> {
        async move {
            match self.client.inspect_container(name.as_str(), None::<InspectContainerOptions>).await {
                Ok(container) => {
                    let state = container.state.filter(|state| state.running == Some(true));
                    let process = state.and_then(|state| i32::try_from(state.pid?).ok());
                    Ok(process.filter(|process| *process > 0))
                }
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(engine("look at the container", error)),
            }
        }
        .boxed()
    }

    fn written<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<u64, RuntimeError>> {
        async move {
            let options = InspectContainerOptionsBuilder::new().size(true).build();
            match self.client.inspect_container(name.as_str(), Some(options)).await {
                Ok(container) => Ok(container.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)),
                Err(error) if status(&error) == Some(404) => Ok(0),
                Err(error) => Err(engine("measure the container", error)),
            }
        }
        .boxed()
    }

    fn folder(&self) -> Option<PathBuf> {
        self.folder.clone()
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
            Ok(containers.into_iter().filter_map(|container| key_of(&container.labels?)).collect())
        }
        .boxed()
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, RuntimeError>> {
        self.network_usage().boxed()
    }
}

/// The run that a container is labelled with.
pub(super) fn key_of(labels: &HashMap<String, String>) -> Option<RunKey> {
    let label = |name: &str| labels.get(name).map(String::as_str);
    Some(RunKey { id: label(RUN_LABEL)?.parse().ok()?, role: label(ROLE_LABEL)?.parse().ok()? })
}

pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// An answer of the engine is about what was asked; anything else means that there was none.
pub(super) fn engine(doing: &'static str, source: Error) -> RuntimeError {
    match source {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            RuntimeError::Engine { doing, source }
        }
        source => RuntimeError::Unreachable(source),
    }
}
