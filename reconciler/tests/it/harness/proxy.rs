//! A network that is bad: what goes through it may be slow, cut short, or never come.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// What the network does with answers.
#[derive(Clone, Copy)]
pub(crate) enum Network {
    /// It lets everything through.
    Good,
    /// It lets so many bytes of each connection through, and nothing ever after.
    SilentAfter(u64),
    /// It lets a byte through now and then.
    Dripping,
    /// It lets so many bytes of each connection through, and ends it.
    CutAfter(usize),
}

/// A port on loopback that leads to another one, by a network that can be changed.
pub(crate) struct Proxy {
    port: u16,
    network: Arc<Mutex<Network>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A way to a port.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(Mutex::new(Network::Good));
        let current = Arc::clone(&network);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let network = *current.lock().unwrap();
                tokio::spawn(carry(client, target, network));
            }
        });
        Self { port, network, task }
    }

    /// What the network does with connections from now on.
    pub(crate) fn is(&self, network: Network) {
        *self.network.lock().unwrap() = network;
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, target: u16, network: Network) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async move {
        match network {
            Network::Good => drop(copy(&mut from_server, &mut to_client).await),
            Network::SilentAfter(bytes) => {
                drop(copy(&mut from_server.take(bytes), &mut to_client).await);
                pending::<()>().await;
            }
            Network::Dripping => {
                while let Ok(byte) = from_server.read_u8().await {
                    if to_client.write_u8(byte).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Network::CutAfter(bytes) => {
                drop(copy(&mut from_server.take(bytes as u64), &mut to_client).await);
            }
        }
    };
    // Whichever ends first ends the connection, and both halves of the other are dropped with it.
    // Cancel-safe: what was not carried is lost with the connection.
    tokio::select! {
        () = answers => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}
