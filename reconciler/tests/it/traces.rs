//! Traces, at a collector that speaks the real protocol over a real socket.

use std::net::SocketAddr;

use almanac_proto::v1;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, metadata::MetadataValue, transport::server::TcpIncoming};

use crate::harness::{Testbed, wait_for};

/// Gives away what it receives.
struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn collector() -> (SocketAddr, mpsc::Receiver<ExportTraceServiceRequest>) {
    let (sender, receiver) = mpsc::channel(64);
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, receiver)
}

#[tokio::test]
async fn a_request_is_a_span_of_its_callers_trace() {
    let (address, mut received) = collector();
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    let endpoint = format!("http://{address}");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--otlp-endpoint", &endpoint]).await;
    testbed.wait_applied(&commit).await;
    let mut request = Request::new(v1::WhoAmIRequest {});
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", MetadataValue::from_static(parent));
    testbed.ask("alice").who_am_i(request).await.unwrap();
    // What was not sent yet is sent at the end.
    assert!(testbed.take_daemon().terminate().await.success());

    let mut spans: Vec<Span> = Vec::new();
    let mut service = None;
    let mut find = |name: &str, traced: bool| {
        while let Ok(batch) = received.try_recv() {
            for resource in batch.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
                service = name.and_then(|name| name.value?.value);
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        let wanted = |span: &&Span| span.name == name && traced != span.parent_span_id.is_empty();
        spans.iter().find(wanted).cloned().map(|span| (span, service.clone()))
    };
    let name = "almanac.v1.TestbedService/WhoAmI";
    let (span, service) = wait_for("the span of the request", async || find(name, true)).await;
    assert_eq!(service, Some(Value::StringValue("almanac-reconciler".to_owned())));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let code = span.attributes.iter().find(|attribute| attribute.key == "almanac.code").unwrap();
    assert_eq!(code.value.as_ref().unwrap().value, Some(Value::StringValue("ok".to_owned())));
    // A round is a trace of its own.
    wait_for("the span of a round", async || find("sync", false)).await;
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nothing() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    // Nothing listens there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{taken}");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--otlp-endpoint", &endpoint]).await;
    testbed.wait_applied(&commit).await;
    testbed.ask("alice").who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(testbed.take_daemon().terminate().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}
