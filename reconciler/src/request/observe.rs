//! The layer around everything that is served.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response},
};
use http_body::{Frame, SizeHint};
use tower::Service;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    CURRENT, Current,
    ending::{Code, Ending},
};
use crate::{metrics::Metrics, telemetry};

/// The header that says which line of the log is about a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers the requests of one connection, and observes each to its end.
#[derive(Debug, Clone)]
pub struct Observe {
    routes: Router,
    metrics: Metrics,
    peer: IpAddr,
    asked: Arc<AtomicBool>,
}

impl Observe {
    /// Observes what comes from an address.
    pub fn new(routes: Router, metrics: Metrics, peer: IpAddr) -> Self {
        Self { routes, metrics, peer, asked: Arc::default() }
    }

    /// Whether there was a request; clones share it.
    pub fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }
}

impl<B> Service<Request<B>> for Observe
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Observed>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let id = Uuid::new_v4().simple().to_string();
        let id = id.get(..16).unwrap_or(&id).to_owned();
        let current = Current::new(self.peer);
        let span = telemetry::request_span(&id, request.uri().path(), request.headers());
        let mut ending = Ending::new(&request, current.clone(), self.metrics.clone(), span.clone());
        let answer = self.routes.call(request);
        let answer = async move {
            let Ok(mut answer) = answer.await;
            ending.answered(answer.status(), answer.headers());
            if let Ok(id) = HeaderValue::from_str(&id) {
                answer.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(answer.map(|body: Body| {
                // Nobody asks such a body for its end.
                if body.is_end_stream() {
                    ending.complete();
                }
                Observed { body, ending }
            }))
        };
        Box::pin(CURRENT.scope(current, answer.instrument(span)))
    }
}

/// The body of an answer, which says when it ends.
#[derive(Debug)]
pub struct Observed {
    body: Body,
    ending: Ending,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.ending.sent(data.len());
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.ending.trailers(trailers);
                }
            }
            Some(Err(_)) => self.ending.failed(),
            None => self.ending.complete(),
        }
        // Whoever reads the body need not ask for its end once it is known.
        if self.body.is_end_stream() {
            self.ending.complete();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Code {
    /// The status that gRPC puts into headers or trailers.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?;
        Some(Self::Grpc(tonic::Code::from_bytes(code.as_bytes())))
    }
}
