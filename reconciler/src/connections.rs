//! The port: connections are accepted, encrypted, and served until they end.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use almanac_proto::limits;
use axum::{
    Router,
    http::{StatusCode, header::CONNECTION},
    response::IntoResponse,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use crate::{metrics::Metrics, request::Observe};

/// How long a client may take to agree on TLS, or to be told that it has to.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long connections may take to send what is under way once the program stops. A client that does
/// not read would keep it for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection of HTTP/1.1 may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// How long a connection may be open without a request: its place is for those who have one.
const SILENCE: Duration = Duration::from_secs(30);

/// How long to wait before accepting again when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// How many calls may be under way on a connection. An agent needs a handful.
const MAX_STREAMS: u32 = 128;

/// The most bytes of headers of a request: a token takes less than one KiB.
const MAX_HEADERS: u32 = 16 << 10;

/// How many bytes of answers wait for a slow reader in each call, beside the message that is being sent.
const SEND_BUFFER: usize = 64 << 10;

/// How many streams that a client opened and reset may wait to be noticed (CVE-2023-44487).
const MAX_RESETS: usize = 20;

/// What accepts connections.
#[derive(Debug)]
pub struct Connections {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    places: Arc<Semaphore>,
    routes: Router,
    metrics: Metrics,
}

impl Connections {
    /// Serves `routes` to at most `most` connections at a time. One more is accepted and closed at
    /// once: its client learns so and tries again later, while one that was left waiting could not
    /// tell this from a reconciler that hangs.
    pub fn new(
        listener: TcpListener,
        tls: Option<rustls::ServerConfig>,
        most: NonZeroUsize,
        routes: Router,
        metrics: Metrics,
    ) -> Self {
        let places = Arc::new(Semaphore::new(most.get().min(Semaphore::MAX_PERMITS)));
        Self { listener, tls: tls.map(Arc::new), places, routes, metrics }
    }

    /// The task that accepts. It ends when `stop` is cancelled, once its connections have ended, or
    /// `DRAIN` is over. The port is closed at once then.
    pub async fn run(self, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let give_up = CancellationToken::new();
        loop {
            // Cancel-safe: a connection that was not accepted waits, a cancelled token stays cancelled.
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &tracker, &stop, &give_up),
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections; trying again");
                    sleep(PAUSE).await;
                }
            }
        }
        let Self { listener, .. } = self;
        drop(listener);
        tracker.close();
        if timeout(DRAIN, tracker.wait()).await.is_err() {
            tracing::warn!(
                connections = tracker.len(),
                "clients do not end their calls; closing their connections"
            );
            give_up.cancel();
            tracker.wait().await;
        }
    }

    fn take(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        give_up: &CancellationToken,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.connection_refused();
            tracing::debug!(%peer, "closed a connection: there are too many");
            return;
        };
        let routes = Observe::new(self.routes.clone(), self.metrics.clone(), peer.ip().to_canonical());
        let (tls, metrics) = (self.tls.clone(), self.metrics.clone());
        let (stop, give_up) = (stop.clone(), give_up.clone());
        tracker.spawn(async move {
            let _open = (place, metrics.connection());
            // A delayed acknowledgement must not hold back the end of a call. It fails when the
            // connection is gone already.
            let _ = stream.set_nodelay(true);
            let serving = async {
                match tls {
                    None => serve(stream, routes, SILENCE, &stop).await,
                    Some(tls) => {
                        let handshake = timeout(HANDSHAKE, begin(stream, tls));
                        // Cancel-safe: a connection that nothing was said on is closed.
                        let agreed = tokio::select! {
                            () = stop.cancelled() => return,
                            agreed = handshake => agreed,
                        };
                        match agreed {
                            Ok(Ok(Begun::Tls(stream))) => serve(*stream, routes, SILENCE, &stop).await,
                            Ok(Ok(Begun::Plain(stream))) => {
                                metrics.handshake_failed();
                                tracing::debug!(%peer, "no TLS: told to use https");
                                let routes =
                                    Observe::new(refusing(), metrics.clone(), peer.ip().to_canonical());
                                let _ = timeout(HANDSHAKE, serve(stream, routes, SILENCE, &stop)).await;
                            }
                            Ok(Err(error)) => {
                                metrics.handshake_failed();
                                tracing::debug!(%peer, %error, "no agreement on TLS");
                            }
                            Err(_) => {
                                metrics.handshake_failed();
                                tracing::debug!(%peer, "the TLS handshake took too long");
                            }
                        }
                    }
                }
            };
            // Cancel-safe: what is given up is closed.
            tokio::select! {
                () = give_up.cancelled() => {}
                () = serving => {}
            }
        });
    }
}

/// How a client began on a port where TLS is spoken.
enum Begun {
    Tls(Box<TlsStream<TcpStream>>),
    /// With a request that anybody on the way can read.
    Plain(TcpStream),
}

/// Agrees on TLS with a client that speaks it.
async fn begin(stream: TcpStream, tls: Arc<rustls::ServerConfig>) -> io::Result<Begun> {
    // A request of HTTP begins with a word in capitals, and TLS with a byte that is no letter. It stays to be read.
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first[0].is_ascii_uppercase() {
        return Ok(Begun::Plain(stream));
    }
    Ok(Begun::Tls(Box::new(TlsAcceptor::from(tls).accept(stream).await?)))
}

/// What is answered to all that is asked without TLS: over HTTP, and as gRPC has it.
fn refusing() -> Router {
    Router::new().fallback(async || {
        let text = "this port speaks TLS: use https:// in its address";
        let mut answer =
            (StatusCode::BAD_REQUEST, [(CONNECTION, "close")], format!("{text}\n")).into_response();
        // It cannot fail: the text is plain.
        let _ = Status::failed_precondition(text).add_header(answer.headers_mut());
        answer
    })
}

/// Serves a connection until its client ends it, nothing was asked for `silence`, or `stop` is cancelled and what is under way has ended.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Observe,
    silence: Duration,
    stop: &CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::SERVER_KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::SERVER_KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS);
    let asked = routes.asked();
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)));
    let mut silence = pin!(sleep(silence));
    let (mut stopping, mut silent) = (false, true);
    loop {
        // Cancel-safe: the connection is polled on where it was, a cancelled token stays cancelled, and
        // a sleep goes on.
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended with an error");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                // GOAWAY: no new calls, and those under way may end.
                connection.as_mut().graceful_shutdown();
            }
            () = silence.as_mut(), if silent => {
                silent = false;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

/// Errors of `accept` that are about the connection that is no more, and not about the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    async fn ends(said: &[u8]) -> bool {
        let (mut client, server) = duplex(64 << 10);
        let routes = Router::new().route("/", axum::routing::get(async || "ok"));
        let routes = Observe::new(routes, Metrics::default(), [127, 0, 0, 1].into());
        let serving = tokio::spawn(async move {
            serve(server, routes, Duration::from_millis(10), &CancellationToken::new()).await;
        });
        client.write_all(said).await.unwrap();
        let ended = timeout(Duration::from_secs(20), client.read_to_end(&mut Vec::new())).await;
        serving.abort();
        ended.is_ok()
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        assert!(ends(b"").await);
        assert!(ends(b"GET / HT").await, "half a request");
        assert!(
            ends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await,
            "no more than a greeting"
        );
    }
}
