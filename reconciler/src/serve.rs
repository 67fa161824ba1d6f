//! `serve`: everything that runs, on one port, until it is told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use almanac_proto::{
    DESCRIPTORS, limits,
    v1::{node_service_server::NodeServiceServer, testbed_service_server::TestbedServiceServer},
};
use anyhow::Context as _;
use axum::routing::get;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    server::NamedService,
    service::Routes,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::server::HealthReporter;

use crate::{
    artifacts::{Staging, Uploads},
    config::ServeSettings,
    follow::Follow,
    heartbeats::Heartbeats,
    services::{Context, NodeCalls, TestbedCalls},
    source::Repository,
    store::Store,
    sync::Reconciler,
};

/// How long what is under way may take to end once the program is told to stop.
pub const GRACE: Duration = Duration::from_secs(8);

/// A reconciler that serves.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    store: Store,
}

/// Opens everything, binds the port and starts to serve.
///
/// # Errors
///
/// When the database, the repository, the certificate or the port cannot be used.
pub async fn start(settings: ServeSettings) -> anyhow::Result<Serving> {
    let common = &settings.common;
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
    let incoming = TcpIncoming::bind(settings.listen)
        .with_context(|| format!("cannot listen on {}; choose another with `--listen`", settings.listen))?
        .with_nodelay(Some(true));
    let address = incoming.local_addr().context("cannot tell the address that is listened on")?;

    let stop = CancellationToken::new();
    let reconciler = Reconciler::new(repository, store.clone()).await.context("cannot read the database")?;
    let applied = reconciler.applied();
    let (follow, follower) =
        Follow::new(reconciler, watched.as_deref(), settings.poll_interval, stop.clone());
    let context = Context {
        store: store.clone(),
        applied,
        follower,
        heartbeats: heartbeats.clone(),
        uploads,
        audience: Arc::from(settings.name.as_str()),
        repository: Arc::from(common.location.to_string()),
        branch: Arc::from(common.branch.as_str()),
        stop: stop.clone(),
    };
    let mut server = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT));
    if let Some(tls) = &settings.tls {
        let read = |path| std::fs::read(path).context("cannot read the certificate");
        let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
        server = server
            .tls_config(ServerTlsConfig::new().identity(identity))
            .context("cannot use the certificate of `--tls-cert` with the key of `--tls-key`")?;
    }
    let (routes, mut health) = routes(context).await?;
    let server = server.add_routes(routes);
    let stopped = stop.clone().cancelled_owned();

    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        server.serve_with_incoming_shutdown(incoming, stopped).await.context("the server failed")
    });
    tasks.spawn(async move {
        follow.run().await;
        Ok(())
    });
    let stopping = stop.clone();
    tasks.spawn(async move {
        stopping.cancelled().await;
        // Whoever watches the health is told no more, or the server would wait for them.
        for service in ["", NodeServiceServer::<NodeCalls>::NAME, TestbedServiceServer::<TestbedCalls>::NAME]
        {
            health.clear_service_status(service).await;
        }
        Ok(())
    });
    let beats = heartbeats.run(store.clone(), stop.clone());
    tasks.spawn(async move {
        beats.await;
        Ok(())
    });
    tracing::info!(%address, repository = %common.location, branch = common.branch, "serving");
    Ok(Serving { address, stop, tasks, store })
}

async fn routes(context: Context) -> anyhow::Result<(Routes, HealthReporter)> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<NodeServiceServer<NodeCalls>>().await;
    health.set_serving::<TestbedServiceServer<TestbedCalls>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the protocol's descriptors are broken")?;
    let node = NodeServiceServer::new(NodeCalls::new(context.clone()))
        .max_decoding_message_size(limits::MAX_MESSAGE);
    let testbed =
        TestbedServiceServer::new(TestbedCalls::new(context)).max_decoding_message_size(limits::MAX_MESSAGE);
    let routes = Routes::new(health_service).add_service(reflection).add_service(node).add_service(testbed);
    let routes = routes.into_axum_router().route("/healthz", get(async || "ok\n")).into();
    Ok((routes, health))
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
                ended.context("a task panicked")??;
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
                ended.context("a task panicked")??;
                anyhow::bail!("a task ended by itself");
            }
            None => stopped,
        }
    }
}
