//! The paths that forges deliver to.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::{sync::Semaphore, time::timeout};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};

use super::{
    Forge, WebhookSecrets,
    flood::Flood,
    forge::Event,
    replays::{MAX_ID, Replays},
    verify,
};
use crate::{clock, secret::SecretError};

/// The largest body. Forges send up to 25 MB, of which a push of a testbed's manifests takes kilobytes.
const MAX_BODY: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How many bodies may arrive at a time, which bounds the memory that strangers can take to 16 MiB.
const BODIES: usize = 16;

/// What receives webhooks.
#[derive(Debug)]
pub struct Hooks {
    secrets: WebhookSecrets,
    flood: Flood,
    replays: Mutex<Replays>,
    bodies: Semaphore,
}

impl Hooks {
    /// Webhooks of the forges that have a secret.
    ///
    /// # Errors
    ///
    /// When one of the secrets cannot be read.
    pub fn new(secrets: WebhookSecrets) -> Result<Self, SecretError> {
        for (_, source) in secrets.all() {
            source.read()?;
        }
        Ok(Self {
            secrets,
            flood: Flood::default(),
            replays: Mutex::default(),
            bodies: Semaphore::new(BODIES),
        })
    }

    /// The paths `/hooks/...`. Whoever proves that there was a push causes `nudge`, and nothing else.
    pub fn router<S: Clone + Send + Sync + 'static>(
        self,
        nudge: impl Fn() + Send + Sync + 'static,
    ) -> Router<S> {
        let hooks = Arc::new(self);
        let nudge: Nudge = Arc::new(nudge);
        Forge::ALL.into_iter().fold(Router::new(), |router, forge| {
            let path = format!("/hooks/{}", forge.name());
            let state = (Arc::clone(&hooks), Arc::clone(&nudge), forge);
            router.route(&path, post(deliver).with_state(state))
        })
    }

    async fn receive(&self, forge: Forge, request: Request) -> Result<Answer, Refusal> {
        let source = self.secrets.of(forge).ok_or(Refusal::NotConfigured(forge))?;
        // Cheap refusals first: until it is proven, anybody may have sent this.
        self.flood.admit(sender(request.extensions())).map_err(Refusal::TooMany)?;
        let (parts, body) = request.into_parts();
        let delivery = forge.delivery(&parts.headers);
        let proof = delivery.proof.ok_or(Refusal::NoProof(forge))?;
        let body = self.body(&parts.headers, body).await?;
        let secret = source.read().map_err(Refusal::Secret)?;
        verify(proof, &secret, &body, clock::now())
            .map_err(|error| Refusal::Unproven(forge, error.to_string()))?;
        let id = delivery.id.filter(|id| !id.is_empty() && id.len() <= MAX_ID).ok_or(Refusal::NoId(forge))?;
        let event = Forge::event(delivery.event.ok_or(Refusal::NoEvent)?);
        if !self.replays.lock().unwrap_or_else(PoisonError::into_inner).is_new(forge, id) {
            return Ok(Answer::Replayed);
        }
        tracing::debug!(forge = forge.name(), id, ?event, "webhook");
        Ok(match event {
            Event::Push => Answer::Nudged,
            Event::Ping => Answer::Pong,
            Event::Other => Answer::Ignored,
        })
    }

    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > MAX_BODY) {
            return Err(Refusal::TooLarge);
        }
        let _room = self.bodies.try_acquire().map_err(|_| Refusal::TooMany(Duration::from_secs(1)))?;
        let body = timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await.map_err(|_| Refusal::Slow)?;
        body.map_err(|_| Refusal::TooLarge)
    }
}

type Nudge = Arc<dyn Fn() + Send + Sync>;

async fn deliver(
    State((hooks, nudge, forge)): State<(Arc<Hooks>, Nudge, Forge)>,
    request: Request,
) -> Response {
    match hooks.receive(forge, request).await {
        Ok(answer) => {
            if answer == Answer::Nudged {
                nudge();
            }
            answer.into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Who sent a request, as the server that accepted the connection says; no header has a say.
fn sender(extensions: &Extensions) -> Option<IpAddr> {
    let tcp = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let tls = || extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?.get_ref().remote_addr();
    let axum = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    tcp.or_else(tls).or_else(axum).map(|address| address.ip())
}

/// What came of a delivery that was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Nudged,
    Pong,
    Ignored,
    Replayed,
}

/// Why a delivery is not taken.
#[derive(Debug)]
enum Refusal {
    NotConfigured(Forge),
    TooMany(Duration),
    NoProof(Forge),
    TooLarge,
    Slow,
    Secret(SecretError),
    Unproven(Forge, String),
    NoId(Forge),
    NoEvent,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Nudged => (StatusCode::ACCEPTED, "the repository is looked at\n"),
            Self::Pong => (StatusCode::OK, "pong\n"),
            Self::Ignored => (StatusCode::OK, "ignored, as only pushes move a branch\n"),
            Self::Replayed => (StatusCode::OK, "ignored, as this delivery came before\n"),
        }
        .into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotConfigured(forge) => {
                let setting = forge.setting();
                let text = format!("there is no secret for this webhook; give one with `--{setting}`");
                (StatusCode::NOT_FOUND, text)
            }
            Self::TooMany(wait) => {
                let seconds = wait.as_secs() + 1;
                let text = format!("too many deliveries; try again in {seconds} s\n");
                let retry = [(header::RETRY_AFTER, seconds.to_string())];
                return (StatusCode::TOO_MANY_REQUESTS, retry, text).into_response();
            }
            Self::NoProof(forge) => (
                StatusCode::UNAUTHORIZED,
                format!("nothing shows who sent this: expected {}", forge.proves_with()),
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB".to_owned()),
            Self::Slow => {
                let text = format!("the body took longer than {} s", BODY_DEADLINE.as_secs());
                (StatusCode::REQUEST_TIMEOUT, text)
            }
            Self::Secret(error) => {
                // What is wrong on the reconciler's host is for its log, not for strangers.
                tracing::error!(error = crate::causes::chain(&error), "a webhook was not verified");
                let text =
                    "the reconciler cannot read the secret of this webhook; its log says why".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Self::Unproven(forge, why) => {
                (StatusCode::UNAUTHORIZED, format!("{why}: expected {}", forge.proves_with()))
            }
            Self::NoId(forge) => {
                let text = format!(
                    "nothing tells this delivery from others: expected {} with at most {MAX_ID} characters",
                    forge.tells_apart_with()
                );
                (StatusCode::BAD_REQUEST, text)
            }
            Self::NoEvent => (StatusCode::BAD_REQUEST, "no header says what happened".to_owned()),
        };
        (status, text + "\n").into_response()
    }
}
