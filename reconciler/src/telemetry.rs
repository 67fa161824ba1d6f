//! Logs to stderr, and traces to an OTLP collector when one is configured.

use std::{io::IsTerminal, sync::OnceLock, time::Duration};

use anyhow::Context as _;
use axum::http::HeaderMap;
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Status, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogSettings};

/// How long the last spans may take to reach the collector once the program stops.
const FLUSH: Duration = Duration::from_secs(1);

/// How long the collector may take for a batch.
const EXPORT: Duration = Duration::from_secs(5);

/// Whether spans go anywhere: their names and attributes are not worth computing otherwise.
static TRACED: OnceLock<()> = OnceLock::new();

/// What is to be told to the collector at the end.
#[derive(Debug, Default)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Begins to log, and to export traces. It is called once, within the runtime.
///
/// # Errors
///
/// When the filter or the collector's address makes no sense. A collector that does not answer is no
/// error: spans are lost then, and the program works all the same.
pub fn init(log: &LogSettings, otlp: Option<&str>) -> anyhow::Result<Telemetry> {
    let provider = otlp.map(exporter).transpose()?;
    if provider.is_some() {
        let _ = TRACED.set(());
    }
    let traces = provider.as_ref().map(|provider| {
        // Of this program's own spans alone: those of the exporter's connection would never end.
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("almanac-reconciler"))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target("almanac_reconciler", tracing::Level::INFO))
    });
    // PostgreSQL remarks at each start that the tables of migrations are there already. What is asked for wins.
    let filter = format!("sqlx::postgres::notice=warn,{}", log.filter);
    let filter = EnvFilter::try_new(filter).context("`--log` is not a filter")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    };
    registry().with(lines).with(traces).init();
    Ok(Telemetry(provider))
}

fn exporter(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT)
        .build()
        .context("cannot export traces to the address of `--otlp-endpoint`")?;
    let resource = Resource::builder()
        .with_service_name("almanac-reconciler")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Telemetry {
    /// Sends what was not sent yet, for a bounded time.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// The span of a request, a child of the one that its `traceparent` names.
pub fn request_span(id: &str, path: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        id,
        otel.name = tracing::field::Empty,
        otel.kind = tracing::field::Empty
    );
    if TRACED.get().is_some() {
        span.record("otel.name", path.trim_start_matches('/'));
        span.record("otel.kind", "server");
        // A span that is filtered out has no parent either.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
    span
}

/// What a request came to, before its span ends.
pub fn end_request(span: &Span, code: &str, failed: bool) {
    if TRACED.get().is_some() {
        span.set_attribute("almanac.code", code.to_owned());
        if failed {
            span.set_status(Status::error(code.to_owned()));
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
