//! A store that serves files itself over HTTP, as a script says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the store does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// Sends what is asked for, and breaks off after so many bytes.
    Cut(usize),
    /// Sends all of it, whatever part is asked for.
    All,
    /// Answers a status, with more lines of the head.
    Status(&'static str),
}

/// A store with one file.
#[derive(Clone)]
pub(crate) struct Store {
    content: Arc<Vec<u8>>,
    deeds: Arc<Mutex<VecDeque<Deed>>>,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    pub(crate) address: String,
}

impl Store {
    /// Starts one that does these things in turn, and sends what is asked for afterwards.
    pub(crate) async fn start(content: &[u8], deeds: impl IntoIterator<Item = Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Self {
            content: Arc::new(content.to_vec()),
            deeds: Arc::new(Mutex::new(deeds.into_iter().collect())),
            heads: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = store.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        store
    }

    /// What each request asked for: the address, the range, and whether it had the header that goes with it.
    pub(crate) fn asked(&self) -> Vec<(String, String, bool)> {
        let heads = self.heads.lock().unwrap();
        let one = |head: &String| {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let range = head.lines().find_map(|line| line.strip_prefix("range: "));
            (path, range.unwrap_or_default().to_owned(), head.contains("\r\nx-store: yes\r\n"))
        };
        heads.iter().map(one).collect()
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let from = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        self.heads.lock().unwrap().push(head);
        let deed = self.deeds.lock().unwrap().pop_front().unwrap_or(Deed::Cut(usize::MAX));
        let from = if matches!(deed, Deed::All) { 0 } else { from };
        let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
        let rest = &self.content[from..];
        let (head, body) = match deed {
            Deed::Status(status) => (format!("{status}\r\ncontent-length: 0"), &rest[..0]),
            Deed::All => (format!("{status}\r\ncontent-length: {}", rest.len()), rest),
            Deed::Cut(most) => {
                (format!("{status}\r\ncontent-length: {}", rest.len()), &rest[..most.min(rest.len())])
            }
        };
        let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
        // A client that has gone away has seen enough.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
    }
}
