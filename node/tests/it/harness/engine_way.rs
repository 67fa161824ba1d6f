//! A way to the engine on which logs that are followed can be held up.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::pause;

/// A socket that leads to the engine.
pub(crate) struct EngineWay {
    socket: PathBuf,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_held: AtomicBool,
    /// How often the engine began to pass on a log that is followed.
    begun: AtomicUsize,
}

impl EngineWay {
    /// A way that begins at a path.
    pub(crate) fn open(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(engine) = UnixStream::connect("/var/run/docker.sock") else { continue };
                let is_log = Arc::new(AtomicBool::new(false));
                let (from, to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                let asked = is_log.clone();
                thread::spawn(move || {
                    carry(from, to, |bytes| {
                        let text = String::from_utf8_lossy(bytes);
                        if text.contains("/logs?") && text.contains("follow=true") {
                            asked.store(true, Ordering::SeqCst);
                        }
                    });
                });
                let state = shared.clone();
                thread::spawn(move || {
                    carry(engine, client, |bytes| {
                        if is_log.load(Ordering::SeqCst) && bytes.starts_with(b"HTTP/1.1 200") {
                            state.begun.fetch_add(1, Ordering::SeqCst);
                        }
                        while is_log.load(Ordering::SeqCst) && state.is_held.load(Ordering::SeqCst) {
                            pause(Duration::from_millis(5));
                        }
                    });
                });
            }
        });
        Self { socket: socket.to_owned(), state }
    }

    /// Where it begins, as Docker names it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whether nothing of logs that are followed comes through.
    pub(crate) fn hold(&self, is_held: bool) {
        self.state.is_held.store(is_held, Ordering::SeqCst);
    }

    /// How often the engine began to pass on a log that somebody follows.
    pub(crate) fn begun(&self) -> usize {
        self.state.begun.load(Ordering::SeqCst)
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, before: impl Fn(&[u8])) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        before(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
