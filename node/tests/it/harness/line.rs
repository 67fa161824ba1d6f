//! A line between an agent and its reconciler: it counts what goes over it, and it can go dead.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime,
    sync::watch,
};

/// Passes bytes on for as long as it is alive. While it is not, connections stand, new ones are made, and nothing moves:
/// that is how a network looks that loses every packet.
pub(crate) struct Line {
    address: SocketAddr,
    alive: watch::Sender<bool>,
    bytes: Arc<AtomicU64>,
    /// Ends everything when this goes out of scope.
    runtime: Option<runtime::Runtime>,
}

impl Line {
    /// A line to an address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (alive, seen) = watch::channel(true);
        let bytes = Arc::<AtomicU64>::default();
        let count = Arc::clone(&bytes);
        runtime.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (seen, count) = (seen.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    // Cancel-safe: where one direction has ended, so has the connection.
                    tokio::select! {
                        () = pass(client_read, server_write, seen.clone(), &count) => {}
                        () = pass(server_read, client_write, seen, &count) => {}
                    }
                });
            }
        });
        Self { address, alive, bytes, runtime: Some(runtime) }
    }

    /// Where it begins.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Loses everything from now on, or nothing any more.
    pub(crate) fn set_alive(&self, alive: bool) {
        self.alive.send_replace(alive);
    }

    /// How many bytes went over it, both ways together: what TCP carries, without TCP itself.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Passes on until one end is closed. A line that comes back to life has lost what was on its way, and so has
/// its connections: nothing of them moves again.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut alive: watch::Receiver<bool>,
    count: &AtomicU64,
) {
    let mut part = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut part).await;
        let Ok(length @ 1..) = read else {
            // A dead line does not carry the end of a connection either.
            let _ = alive.wait_for(|alive| *alive).await;
            return;
        };
        if !*alive.borrow_and_update() {
            // The end of this connection is nobody's business any more; it is torn down with the test or by its peer.
            std::future::pending::<()>().await;
        }
        count.fetch_add(length as u64, Ordering::SeqCst);
        if to.write_all(&part[..length]).await.is_err() {
            return;
        }
    }
}
