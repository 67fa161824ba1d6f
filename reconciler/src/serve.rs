//! `serve`: everything that runs, on one port, until it is told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::TcpSocket,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    artifacts::{Staging, Uploads},
    auth::Authenticator,
    clock,
    config::ServeSettings,
    connections::Connections,
    data::Data,
    follow::{self, Follow},
    health::Readiness,
    hear::{self, Ears},
    heartbeats::Heartbeats,
    instructions::Instructions,
    lead::Lead,
    limits::{StreamKind, Streams},
    live::Live,
    logs::{
        Hub,
        post::{self, Post},
    },
    metrics::Metrics,
    notify::{About, Announcer, Deliver},
    retention::Retention,
    routes,
    services::Context,
    source::Repository,
    store::{Engine, Store},
    surroundings::{self, Fetching, Surroundings},
    sync::Reconciler,
    tasks::Tasks,
    tls::Certificate,
    webhooks::Hooks,
};

/// How long what is under way may take to end once the program is told to stop.
pub const GRACE: Duration = Duration::from_secs(8);

/// How many connections may wait to be accepted: all agents come back at once after a restart. The
/// kernel has a bound of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// A reconciler that serves.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    store: Store,
}

/// Opens everything, binds the port and starts to serve.
///
/// # Errors
///
/// When the database, the repository, the certificate or the port cannot be used.
pub async fn start(settings: ServeSettings) -> anyhow::Result<Serving> {
    let common = &settings.common;
    let certificate = settings.tls.clone().map(Certificate::open).transpose()?;
    let store = Store::open(&common.database).await?;
    let data = Data::of(store.engine(), common.data_dir.as_deref())?;
    let hooks = Hooks::new(settings.webhooks.clone()).context("cannot receive webhooks")?;
    let stop = CancellationToken::new();
    let repository = Repository::new(common.location.clone(), &common.branch, &common.subdir, data.mirror())
        .reached_by(common.access.clone(), stop.clone());
    // A repository that is not there is a mistake; one without the branch yet is only new.
    let watched = repository.watched()?;
    let staging = Staging::new(data.uploads())?;
    let (fixed, default) = (common.artifacts.clone(), data.artifacts());
    let metrics = Metrics::default();
    let uploads = Uploads::new(store.clone(), staging, fixed, default, metrics.clone());
    let heartbeats = Heartbeats::load(&store, settings.limits.heartbeats_per_second);
    let heartbeats = heartbeats.await.context("cannot read the database")?;
    let instructions = Instructions::load(&store).await.context("cannot read the database")?;
    let surroundings = Surroundings::load(&store).await.context("cannot read the database")?;
    let tasks_of_servers = Tasks::load(&store).await.context("cannot read the database")?;
    let listener = listen(settings.listen)
        .with_context(|| format!("cannot listen on {}; choose another with `--listen`", settings.listen))?;
    let address = listener.local_addr().context("cannot tell the address that is listened on")?;

    let reconciler = Reconciler::new(repository, store.clone()).await.context("cannot read the database")?;
    let reconciler = reconciler.with_trusted(common.trusted_keys.clone());
    let applied = reconciler.applied();
    let (declared, in_force, in_force_too) = (applied.clone(), applied.clone(), applied.clone());
    let (lead, leadership) = Lead::new(store.clone(), stop.clone());
    let leading = leadership.clone();
    let (letters, heard) = mpsc::channel(post::INCOMING);
    let ears = Arc::new(Ears::new(letters));
    // Nobody but this one serves a file.
    let post = matches!(store.engine(), Engine::Postgres { .. }).then(Post::new);
    let (post, outgoing) = post.unzip();
    let live = Live::new(post.clone());
    let logs = Hub::new(post);
    let (follow, follower) = Follow::new(follow::Parts {
        reconciler,
        store: store.clone(),
        announcer: Announcer::new(&settings.notify),
        surroundings: surroundings.clone(),
        watched: watched.as_deref(),
        intervals: settings.intervals,
        leadership,
        ears: Arc::clone(&ears),
        metrics: metrics.clone(),
        stop: stop.clone(),
    });
    let shown = common.location.to_string();
    let about = About { reconciler: &settings.name, repository: &shown, branch: &common.branch };
    let retention = Retention::new(
        store.clone(),
        uploads.clone(),
        metrics.clone(),
        applied.clone(),
        leading.clone(),
        stop.clone(),
    );
    let fetching = Fetching::new(surroundings::task::Parts {
        store: store.clone(),
        surroundings: surroundings.clone(),
        applied: applied.clone(),
        leadership: leading.clone(),
        ears: Arc::clone(&ears),
        metrics: metrics.clone(),
        stop: stop.clone(),
    })
    .context("cannot make an HTTP client")?;
    let deliver = Deliver::new(store.clone(), settings.notify.clone(), about, leading, stop.clone())?;
    let streams = |kind| Streams::new(kind, settings.limits.streams_per_node, metrics.clone());
    let context = Context {
        store: store.clone(),
        applied,
        follower,
        heartbeats: heartbeats.clone(),
        instructions: instructions.clone(),
        surroundings,
        tasks: tasks_of_servers.clone(),
        logs: logs.clone(),
        live: live.clone(),
        uploads,
        authenticator: Arc::new(Authenticator::new(&settings.name, settings.limits)),
        streams: streams(StreamKind::Watch),
        heartbeat_streams: streams(StreamKind::Heartbeat),
        metrics: metrics.clone(),
        repository: shown.as_str().into(),
        branch: Arc::from(common.branch.as_str()),
        stale_after: settings.intervals.stale_after(),
        stop: stop.clone(),
    };
    let readiness = Readiness {
        store: store.clone(),
        metrics: metrics.clone(),
        follower: context.follower.clone(),
        started_at: clock::now(),
        stale_after: settings.intervals.stale_after(),
        stop: stop.clone(),
    };
    let (routes, health) = routes::all(context, hooks, readiness).await?;
    let tls = certificate.as_ref().map(Certificate::server).transpose().context("cannot set up TLS")?;
    let connections = Connections::new(listener, tls, settings.max_connections, routes, metrics.clone());

    let mut tasks = JoinSet::new();
    tasks.spawn(connections.run(stop.clone()));
    tasks.spawn(follow.run());
    tasks.spawn(lead.run());
    tasks.spawn(instructions.run(store.clone(), Arc::clone(&ears), in_force, stop.clone()));
    let (hints, known) = (Arc::clone(&ears), heartbeats.clone());
    tasks.spawn(tasks_of_servers.run(store.clone(), hints, in_force_too, known, stop.clone()));
    tasks.spawn(hear::listen(store.clone(), ears, stop.clone()));
    if let Some(outgoing) = outgoing {
        tasks.spawn(post::send(store.clone(), outgoing, stop.clone()));
    }
    tasks.spawn(post::receive(logs, live, heard, stop.clone()));
    tasks.spawn(deliver.run());
    tasks.spawn(retention.run());
    tasks.spawn(fetching.run());
    tasks.spawn(routes::end_health(health, stop.clone()));
    tasks.spawn(heartbeats.run(store.clone(), declared, metrics, stop.clone()));
    if let Some(certificate) = certificate {
        tasks.spawn(certificate.follow(stop.clone()));
    }
    tracing::info!(%address, repository = shown, branch = common.branch, "serving");
    Ok(Serving { address, stop, tasks, store })
}

fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for connections of before to be forgotten.
    socket.set_reuseaddr(true)?;
    // Connections inherit it: a peer that vanished before it said anything is noticed, too.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Serving {
    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops and waits for what is under way.
    ///
    /// # Errors
    ///
    /// When something failed. What did not end in time is a client that does not listen.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = timeout(GRACE, async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.context("a task panicked")?;
            }
            self.store.close().await;
            anyhow::Ok(())
        });
        ended.await.unwrap_or_else(|_| {
            tracing::warn!("something was still under way at the end; it is given up");
            Ok(())
        })
    }

    /// Serves until SIGTERM or SIGINT, or until something fails.
    ///
    /// # Errors
    ///
    /// When something failed.
    pub async fn until_signal(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        // Cancel-safe: a signal or an ended task that was not taken here is not needed any more.
        let failed = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            ended = self.tasks.join_next() => ended,
        };
        tracing::info!("stopping");
        let stopped = self.stop().await;
        match failed {
            Some(ended) => {
                ended.context("a task panicked")?;
                anyhow::bail!("a task ended by itself");
            }
            None => stopped,
        }
    }
}
