//! The answers. Each is JSON, and an error says what to do: `{"error": "..."}`.

use std::{
    convert::Infallible,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    body::{self, Body},
    http::{Method, Request, StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use almanac_schemas::kernel::{MAX_VALUE, Setting};

use crate::{
    kernel::{FileError, KernelError, NamespaceError},
    runtime::chain,
    telemetry::Reading,
};

use super::{
    asked::{Asked, AskedError},
    desk::{self, Desk},
};

/// How often a stream says that it is there. A peer that has gone is noticed by it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers a request of a connection, which is told when it becomes a stream.
pub(super) async fn answer(
    desk: Arc<Desk>,
    streaming: Arc<AtomicBool>,
    request: Request<Body>,
) -> Result<Response, Infallible> {
    let asked = match Asked::read(request.uri().path()) {
        Ok(asked) => asked,
        Err(error) => {
            let status = match error {
                AskedError::Nothing => StatusCode::NOT_FOUND,
                AskedError::Encoding | AskedError::Setting(_) => StatusCode::BAD_REQUEST,
            };
            return Ok(refuse(status, &chain(&error)));
        }
    };
    Ok(match (request.method(), asked) {
        (&Method::GET, Asked::Run) => {
            ([(header::CONTENT_TYPE, "application/json")], desk.facts.clone()).into_response()
        }
        (&Method::GET, Asked::Telemetry) => Json(desk.latest()).into_response(),
        (&Method::GET, Asked::Stream) => stream(&desk, &streaming),
        (&Method::GET, Asked::Trigger) => match desk.trigger() {
            Some(trigger) => Json(trigger).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "the job declares no `trigger`"),
        },
        (&Method::GET, Asked::Kernel(setting)) => kernel(desk, setting, None).await,
        (&Method::PUT, Asked::Kernel(setting)) => put(desk, setting, request.into_body()).await,
        (_, Asked::Kernel(_)) => not_allowed("GET, PUT"),
        (_, _) => not_allowed("GET"),
    })
}

/// Takes the value that is sent, of which the end of the line may be one byte more.
async fn put(desk: Arc<Desk>, setting: Setting, body: Body) -> Response {
    let Ok(bytes) = body::to_bytes(body, MAX_VALUE + 1).await else {
        let message = format!("the value did not arrive, or has more than {MAX_VALUE} bytes");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, &message);
    };
    match String::from_utf8(bytes.into()) {
        Ok(value) => kernel(desk, setting, Some(value)).await,
        Err(_) => refuse(StatusCode::BAD_REQUEST, "the value is no UTF-8"),
    }
}

async fn kernel(desk: Arc<Desk>, setting: Setting, value: Option<String>) -> Response {
    let name = match &setting {
        Setting::Sysctl(sysctl) => sysctl.as_str().to_owned(),
        Setting::File(file) => file.as_str().to_owned(),
    };
    match desk.kernel(setting, value).await {
        Ok(value) => Json(json!({"name": name, "value": value})).into_response(),
        Err(error) => refuse(status(&error), &chain(&error)),
    }
}

/// Readings as they are made, after the latest of each provider. Whoever is too slow for them gets no more than what is
/// new: nothing waits for him but what is in his socket.
fn stream(desk: &Desk, streaming: &AtomicBool) -> Response {
    let Ok(place) = Arc::clone(&desk.streams).try_acquire_owned() else {
        let message = "the run has as many streams as it may have; close one";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, message);
    };
    streaming.store(true, Ordering::Relaxed);
    let telemetry = desk.telemetry();
    // Before the latest are looked at: one that comes in between is told twice, and none is left out.
    let new = BroadcastStream::new(telemetry.listen());
    let latest = telemetry.latest().into_iter();
    let latest = latest.map(|(provider, (at, sample))| Ok(Reading { provider, at, sample: Some(sample) }));
    let events = stream::iter(latest).chain(new).map(move |reading| {
        // Its place is taken as long as the stream is there.
        let _ = &place;
        Ok::<_, Infallible>(match reading {
            Ok(reading) => {
                let data = desk::reading(&reading).to_string();
                Event::default().event(reading.provider.as_str()).data(data)
            }
            Err(BroadcastStreamRecvError::Lagged(count)) => {
                Event::default().comment(format!("{count} readings were too many"))
            }
        })
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn not_allowed(allowed: &'static str) -> Response {
    let answer = refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("expected {allowed}"));
    ([(header::ALLOW, allowed)], answer).into_response()
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

fn status(error: &KernelError) -> StatusCode {
    let of_file = |error: &FileError| match error.kind() {
        Some(ErrorKind::NotFound) => StatusCode::NOT_FOUND,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    match error {
        KernelError::NoSetting(..) | KernelError::NoValue(..) => StatusCode::BAD_REQUEST,
        KernelError::Process
        | KernelError::HostNetwork(_)
        | KernelError::Server
        | KernelError::Node(_)
        | KernelError::Host(_)
        | KernelError::Unauthorised(_) => StatusCode::FORBIDDEN,
        KernelError::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
        KernelError::Held { .. } | KernelError::Fixed(_) | KernelError::Over => StatusCode::CONFLICT,
        KernelError::Full => StatusCode::TOO_MANY_REQUESTS,
        KernelError::File { source, .. }
        | KernelError::Sysctl { source: NamespaceError::File(source), .. } => of_file(source),
        KernelError::Sysctl { .. }
        | KernelError::Engine(_)
        | KernelError::Record(_)
        | KernelError::Journal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
