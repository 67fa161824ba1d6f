//! The end of a request: its line in the log, its metrics, the end of its span.

use std::{borrow::Cow, sync::Arc, time::Instant};

use axum::http::{HeaderMap, Request, StatusCode};
use tonic::Code as GrpcCode;
use tracing::Span;

use super::{Current, is_grpc, paths};
use crate::{metrics::Metrics, telemetry};

/// The longest path that is logged whole, in bytes. Paths of this program are shorter.
const MAX_PATH: usize = 120;

/// What a filter calls the lines of requests.
const LOG: &str = "almanac_reconciler::request";

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// A status of gRPC.
    Grpc(GrpcCode),
    /// A status of HTTP.
    Http(StatusCode),
}

/// Reports a request when it is dropped: when its answer was sent, or nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Ending {
    path: String,
    grpc: bool,
    begun: Instant,
    current: Arc<Current>,
    metrics: Metrics,
    span: Span,
    /// What was said about the end so far; it counts when the answer was complete.
    code: Option<Code>,
    complete: bool,
    bytes: usize,
}

impl Ending {
    pub(super) fn new<B>(request: &Request<B>, current: Arc<Current>, metrics: Metrics, span: Span) -> Self {
        let path = request.uri().path();
        Self {
            path: path.get(..path.floor_char_boundary(MAX_PATH)).unwrap_or_default().to_owned(),
            grpc: is_grpc(request.headers()),
            begun: Instant::now(),
            current,
            metrics,
            span,
            code: None,
            complete: false,
            bytes: 0,
        }
    }

    /// The head of the answer is there.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let code = Code::of(headers);
        // With its status in the head, the answer of a call has no body.
        self.complete = code.is_some();
        self.code = code.or((!self.grpc).then_some(Code::Http(status)));
    }

    /// A part of the answer was taken.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The answer ends with these.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        self.code = Code::of(trailers).or(self.code);
        self.complete = true;
    }

    /// The answer cannot be continued.
    pub(super) fn failed(&mut self) {
        self.code = Some(Code::Grpc(GrpcCode::Internal));
        self.complete = true;
    }

    /// The whole answer was taken.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    fn code(&self) -> Code {
        match self.code {
            // Without a status, a call of gRPC ended in a way that its peer cannot tell.
            Some(code) if self.complete => code,
            None if self.complete => Code::Grpc(GrpcCode::Unknown),
            _ => Code::Grpc(GrpcCode::Cancelled),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let (code, took) = (self.code(), self.begun.elapsed());
        let name = code.name();
        self.metrics.request(paths::label(&self.path), &name, took);
        telemetry::end_request(&self.span, &name, code.is_failure());
        let (path, bytes) = (&*self.path, self.bytes);
        let (principal, peer) = (self.current.principal(), self.current.peer);
        let ms = took.as_micros() as f64 / 1_000.0;
        self.span.in_scope(|| {
            if is_probe(path) {
                tracing::debug!(target: LOG, path, code = %name, principal, %peer, ms, bytes, "request");
            } else {
                tracing::info!(target: LOG, path, code = %name, principal, %peer, ms, bytes, "request");
            }
        });
    }
}

impl Code {
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Grpc(code) => Cow::Borrowed(match code {
                GrpcCode::Ok => "ok",
                GrpcCode::Cancelled => "cancelled",
                GrpcCode::Unknown => "unknown",
                GrpcCode::InvalidArgument => "invalid_argument",
                GrpcCode::DeadlineExceeded => "deadline_exceeded",
                GrpcCode::NotFound => "not_found",
                GrpcCode::AlreadyExists => "already_exists",
                GrpcCode::PermissionDenied => "permission_denied",
                GrpcCode::ResourceExhausted => "resource_exhausted",
                GrpcCode::FailedPrecondition => "failed_precondition",
                GrpcCode::Aborted => "aborted",
                GrpcCode::OutOfRange => "out_of_range",
                GrpcCode::Unimplemented => "unimplemented",
                GrpcCode::Internal => "internal",
                GrpcCode::Unavailable => "unavailable",
                GrpcCode::DataLoss => "data_loss",
                GrpcCode::Unauthenticated => "unauthenticated",
            }),
            Self::Http(status) => Cow::Owned(status.as_str().to_owned()),
        }
    }

    /// Whether the fault is this program's.
    fn is_failure(self) -> bool {
        match self {
            Self::Grpc(code) => matches!(code, GrpcCode::Unknown | GrpcCode::Internal | GrpcCode::DataLoss),
            Self::Http(status) => status.is_server_error(),
        }
    }
}

/// What asks again and again whether this program lives.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics") || path.starts_with("/grpc.health.")
}
