//! `serve`: everything that runs, on one port, until it is told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::TcpSocket,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    artifacts::{Staging, Uploads},
    auth::Authenticator,
    config::ServeSettings,
    connections::Connections,
    follow::Follow,
    health::Readiness,
    heartbeats::Heartbeats,
    limits::Streams,
    metrics::Metrics,
    redact, routes,
    services::Context,
    source::Repository,
    store::Store,
    sync::Reconciler,
    tls::Certificate,
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
    let repository = Repository::new(common.location.clone(), &common.branch, &common.subdir, store.path());
    // A repository that is not there is a mistake; one without the branch yet is only new.
    let watched = repository.watched()?;
    let beside = |suffix: &str| {
        let mut name = store.path().file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        std::path::absolute(store.path().with_file_name(name))
    };
    let staging = Staging::new(beside(".uploads")?)?;
    let uploads = Uploads::new(store.clone(), staging, common.artifacts.clone(), beside(".artifacts")?);
    let heartbeats = Heartbeats::load(&store).await.context("cannot read the database")?;
    let listener = listen(settings.listen)
        .with_context(|| format!("cannot listen on {}; choose another with `--listen`", settings.listen))?;
    let address = listener.local_addr().context("cannot tell the address that is listened on")?;

    let stop = CancellationToken::new();
    let metrics = Metrics::default();
    let reconciler = Reconciler::new(repository, store.clone()).await.context("cannot read the database")?;
    let applied = reconciler.applied();
    let (follow, follower) =
        Follow::new(reconciler, watched.as_deref(), settings.poll_interval, metrics.clone(), stop.clone());
    let context = Context {
        store: store.clone(),
        applied,
        follower,
        heartbeats: heartbeats.clone(),
        uploads,
        authenticator: Arc::new(Authenticator::new(&settings.name, settings.limits)),
        streams: Streams::new(settings.limits.streams_per_node, metrics.clone()),
        metrics: metrics.clone(),
        repository: redact::passwords(&common.location.to_string()).as_ref().into(),
        branch: Arc::from(common.branch.as_str()),
        stop: stop.clone(),
    };
    let readiness = Readiness {
        store: store.clone(),
        metrics: metrics.clone(),
        poll_interval: settings.poll_interval,
        stop: stop.clone(),
    };
    let (routes, health) = routes::all(context, readiness).await?;
    let tls = certificate.as_ref().map(Certificate::server).transpose().context("cannot set up TLS")?;
    let connections = Connections::new(listener, tls, settings.max_connections, routes, metrics.clone());

    let mut tasks = JoinSet::new();
    tasks.spawn(connections.run(stop.clone()));
    tasks.spawn(follow.run());
    tasks.spawn(routes::end_health(health, stop.clone()));
    tasks.spawn(heartbeats.run(store.clone(), metrics, stop.clone()));
    if let Some(certificate) = certificate {
        tasks.spawn(certificate.follow(stop.clone()));
    }
    tracing::info!(%address, repository = %redact::passwords(&common.location.to_string()), branch = common.branch, "serving");
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
