//! The way to an object store, which may be bad.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// How the way to a store is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    /// It lets everything through.
    Good,
    /// It answers every request with this status.
    Answers(u16),
    /// It answers every request with this status and this body.
    Says(u16, &'static str),
    /// It takes every connection and never answers.
    Silent,
    /// It lets through so many bytes a second in each direction.
    Slow(usize),
}

/// A port that leads to another one. A change of its mood cuts what goes through it.
pub(crate) struct Way {
    port: u16,
    mood: watch::Sender<Mood>,
    task: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = watch::Sender::new(Mood::Good);
        let current = mood.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut changes = current.clone();
                let mood = *changes.borrow_and_update();
                tokio::spawn(async move {
                    // Cancel-safe: what was not carried is lost with the connection.
                    tokio::select! {
                        () = carry(client, target, mood) => {}
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        Self { port, mood, task }
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: u16, mood: Mood) {
    match mood {
        Mood::Answers(status) => say(&mut client, status, "").await,
        Mood::Says(status, body) => say(&mut client, status, body).await,
        Mood::Silent => std::future::pending().await,
        Mood::Good | Mood::Slow(_) => {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Cancel-safe: both ways end with the connection.
            tokio::select! {
                () = flow(from_client, to_server, mood) => {}
                () = flow(from_server, to_client, mood) => {}
            }
        }
    }
}

async fn say(client: &mut TcpStream, status: u16, body: &str) {
    let mut buffer = [0; 4096];
    if client.read(&mut buffer).await.is_ok() {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} Bad\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let _ = client.write_all(answer.as_bytes()).await;
    }
}

async fn flow(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mood: Mood) {
    let Mood::Slow(rate) = mood else {
        let _ = copy(&mut from, &mut to).await;
        return;
    };
    let mut buffer = vec![0; rate / 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A client that knows no secret.
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
