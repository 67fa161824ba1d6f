//! Connections to a run's socket, and what they may take of the agent.

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustix::fs::OFlags;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time,
};
use tracing::{debug, warn};

use super::{SOCKET, answer::answer, desk::Desk};

/// How many connections a run has at a time. Others wait in the kernel until one of these ends: they cost the agent
/// nothing, and whoever opened the first ones keeps out nobody but himself.
const CONNECTIONS: usize = 16;

/// How long a connection may take for its head, and for everything if it is no stream.
const HEAD: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);

/// The most bytes of a head: the least that the library takes, and much more than a path needs.
const MAX_HEAD: usize = 8 << 10;

/// How long to wait before accepting again when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A run's socket. With it end all connections.
#[derive(Debug)]
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves a run's socket in a folder that its container sees. The socket is made anew: one that is there is left over
/// from an agent that was killed.
///
/// # Errors
///
/// When the folder cannot be written.
pub fn serve(folder: &Path, desk: Desk) -> io::Result<Serving> {
    let listener = bind(folder)?;
    Ok(Serving(tokio::spawn(accept(listener, Arc::new(desk)))))
}

fn bind(folder: &Path) -> io::Result<UnixListener> {
    // A socket's path has 108 bytes at most (unix(7)), and a state folder may lie deep.
    let folder = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    // Images run as users of their own, whom the host does not know.
    fs::set_permissions(&path, Permissions::from_mode(0o777))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // They end with this task.
    let mut connections = JoinSet::new();
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                connections.spawn(async move {
                    connection(stream, desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a run cannot be answered; trying again");
                time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request: another one takes another connection, so that none is kept open for what may come.
async fn connection(stream: UnixStream, desk: Arc<Desk>) {
    let streaming = Arc::new(AtomicBool::new(false));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .half_close(false);
    let is_streaming = Arc::clone(&streaming);
    let service = tower::service_fn(move |request: axum::http::Request<_>| {
        answer(Arc::clone(&desk), Arc::clone(&streaming), request.map(Body::new))
    });
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let overdue = async {
        time::sleep(WHOLE).await;
        if is_streaming.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Cancel-safe: whoever is cut off has taken too long.
        ended = served => if let Err(error) = ended {
            debug!(error, "a run's connection ended with an error");
        },
        () = overdue => debug!("a run's connection took too long"),
    }
}
