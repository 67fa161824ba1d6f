//! What is served: gRPC for agents and people, HTTP for those who run the program.

use almanac_proto::{
    DESCRIPTORS, limits,
    v1::{node_service_server::NodeServiceServer, testbed_service_server::TestbedServiceServer},
};
use anyhow::Context as _;
use axum::{
    Router,
    extract::RawQuery,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    server::NamedService,
    service::{Routes, interceptor::InterceptedService},
};
use tonic_health::server::HealthReporter;

use crate::{
    clock,
    health::{self, Readiness},
    metrics::{self, Depths},
    request,
    services::{Context, NodeCalls, TestbedCalls},
    webhooks::Hooks,
};

/// The largest message of whoever need not say who they are: the name of a service.
const MAX_ANYBODYS: usize = 16 << 10;

/// Everything that is served on the port.
///
/// # Errors
///
/// When the protocol's descriptors are broken.
pub async fn all(
    context: Context,
    hooks: Hooks,
    readiness: Readiness,
) -> anyhow::Result<(Router, HealthReporter)> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    reporter.set_serving::<NodeServiceServer<NodeCalls>>().await;
    reporter.set_serving::<TestbedServiceServer<TestbedCalls>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the protocol's descriptors are broken")?;
    let node = NodeServiceServer::new(NodeCalls::new(context.clone()))
        .max_decoding_message_size(limits::MAX_MESSAGE);
    let testbed = TestbedServiceServer::new(TestbedCalls::new(context.clone()))
        .max_decoding_message_size(limits::MAX_MESSAGE);
    let known = {
        let context = context.clone();
        move |request: Request<()>| context.known(request.metadata()).map(|()| request)
    };
    let grpc = Routes::new(health_service.max_decoding_message_size(MAX_ANYBODYS))
        .add_service(reflection.max_decoding_message_size(MAX_ANYBODYS))
        .add_service(InterceptedService::new(node, known.clone()))
        .add_service(InterceptedService::new(testbed, known));
    let started_at = readiness.started_at;
    let nudge = context.follower.clone();
    let hooks = hooks.router(move || nudge.nudge());
    let ready = async move |RawQuery(query): RawQuery| {
        health::answer(&readiness.checks().await, query.as_deref().unwrap_or_default())
    };
    let measured = async move || {
        let look = context.follower.status();
        let depths = Depths {
            leads: context.follower.leadership().leads(),
            look_age: clock::now() - look.succeeded_at.unwrap_or(started_at),
            sync_requests: context.follower.waiting(),
            unwritten_heartbeats: context.heartbeats.unwritten(),
            clocks_off: context.heartbeats.clocks_off(),
        };
        ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], context.metrics.text(depths))
    };
    let routes = grpc
        .into_axum_router()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .merge(hooks)
        .fallback(nothing);
    Ok((routes, reporter))
}

/// The answer where nothing is served.
async fn nothing(headers: HeaderMap) -> Response {
    if request::is_grpc(&headers) {
        return Status::unimplemented("there is no such call").into_http();
    }
    (StatusCode::NOT_FOUND, "nothing is served here\n").into_response()
}

/// The task that ends every watch of the health when `stop` is cancelled, or the server would wait for
/// them.
pub async fn end_health(reporter: HealthReporter, stop: CancellationToken) {
    let mut reporter = reporter;
    stop.cancelled().await;
    for service in ["", NodeServiceServer::<NodeCalls>::NAME, TestbedServiceServer::<TestbedCalls>::NAME] {
        reporter.clear_service_status(service).await;
    }
}
