//! A network between a reconciler and its database, which can fail without a word.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes bytes on for as long as it is told to. While it is not, connections stand and nothing moves: that is
/// how a network looks that loses every packet.
pub(crate) struct Wire {
    port: u16,
    open: watch::Sender<bool>,
    /// Ends everything when this goes out of scope.
    _tasks: JoinSet<()>,
}

impl Wire {
    /// Passes on to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (open, seen) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let seen = seen.clone();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    // Cancel-safe: where one direction has ended, so has the connection.
                    tokio::select! {
                        () = pass(client_read, server_write, seen.clone()) => {}
                        () = pass(server_read, client_write, seen) => {}
                    }
                });
            }
        });
        Self { port: here, open, _tasks: tasks }
    }

    /// Where to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses everything from now on.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Passes on again.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut open: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(count) = from.read(&mut bytes).await else { return };
        if open.wait_for(|open| *open).await.is_err() || count == 0 {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
