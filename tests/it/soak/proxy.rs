//! A network between an agent and the reconciler, which misbehaves when it is told to.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How the network is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mood {
    /// What is sent arrives.
    Well,
    /// It takes this long.
    Slow(Duration),
    /// It does not arrive, and nobody is told.
    BlackHole,
}

/// A port that passes everything on to another.
pub(super) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to an address such as `http://127.0.0.1:7600`.
    pub(super) fn start(server: &str) -> Self {
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { mood: Mutex::new(Mood::Well), connections: Mutex::default() });
        let this = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                this.connections.lock().unwrap().extend([clone(&client), clone(&server)]);
                for (from, to) in [(clone(&client), clone(&server)), (server, client)] {
                    let shared = this.clone();
                    thread::spawn(move || shared.pass(from, to));
                }
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, the network is so. What fell into a black hole does not come back.
    pub(super) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        let mut is_lost = false;
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mood = *self.mood.lock().unwrap();
            match mood {
                Mood::Well => {}
                Mood::Slow(delay) => super::pause(delay),
                // A connection of which a part is missing never goes on.
                Mood::BlackHole => is_lost = true,
            }
            if !is_lost && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
