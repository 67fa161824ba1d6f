//! A store that nodes send parts of files to, with faults on demand. Real ones are in the end-to-end tests; this one can be told
//! to fail at a byte.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime, time,
};

/// What is secret in every address that is granted.
pub(crate) const SIGNATURE: &str = "signature-canary";

/// A store. It goes away when this goes out of scope.
pub(crate) struct Store {
    shelf: Arc<Mutex<Shelf>>,
    server: Option<runtime::Runtime>,
}

/// What a store has, and what goes wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(super) address: Option<SocketAddr>,
    /// The least and the most of a part.
    pub(crate) bounds: (u64, u64),
    /// What is there, by file and offset.
    pub(super) parts: BTreeMap<(String, u64), Vec<u8>>,
    /// What the next requests are answered with.
    pub(crate) answers: VecDeque<u16>,
    /// How many of the next grants have expired already.
    pub(crate) expired: u32,
    /// How long each 16 KiB take.
    pub(crate) delay: Duration,
    /// How many bytes arrived, whether or not they became a part.
    pub(crate) received: u64,
    /// The next connection is cut when so many bytes of it arrived.
    pub(crate) cut_after: Option<usize>,
    /// Where the next request is sent to instead.
    pub(crate) redirect: Option<String>,
}

impl Store {
    pub(crate) fn start() -> Self {
        let server = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = server.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = Some(listener.local_addr().unwrap());
        let shelf = Arc::new(Mutex::new(Shelf { address, bounds: (64 << 10, 8 << 20), ..Shelf::default() }));
        let shared = Arc::clone(&shelf);
        server.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shelf = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    // Whoever is cut off tries again.
                    while serve(&mut stream, &shelf).await.is_ok() {}
                });
            }
        });
        Self { shelf, server: Some(server) }
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    pub(crate) fn shared(&self) -> Arc<Mutex<Shelf>> {
        Arc::clone(&self.shelf)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}

impl Shelf {
    /// The address by which one part may be put.
    pub(super) fn grant(&mut self, upload: &str, offset: u64, length: u64) -> String {
        let valid = u8::from(self.expired == 0);
        self.expired = self.expired.saturating_sub(1);
        let address = self.address.unwrap();
        format!("http://{address}/{upload}?offset={offset}&length={length}&valid={valid}&sig={SIGNATURE}")
    }
}

/// Answers one request: `PUT /upload?offset=..&length=..&valid=..`.
async fn serve(stream: &mut BufReader<TcpStream>, shelf: &Mutex<Shelf>) -> io::Result<()> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        head.iter().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let target = head[0].strip_prefix("PUT /").unwrap().split(' ').next().unwrap().to_owned();
    let (upload, query) = target.split_once('?').unwrap();
    let field =
        |name: &str| query.split('&').find_map(|field| field.strip_prefix(&format!("{name}="))).unwrap();
    let (offset, length): (u64, usize) = (field("offset").parse().unwrap(), field("length").parse().unwrap());
    assert_eq!(field("sig"), SIGNATURE);
    assert_eq!(header("content-length").unwrap(), length.to_string());
    assert!(head.iter().all(|line| !line.to_ascii_lowercase().starts_with("authorization")), "{head:?}");
    let (answer, redirect, cut_after, delay) = {
        let mut shelf = shelf.lock().unwrap();
        (shelf.answers.pop_front(), shelf.redirect.take(), shelf.cut_after.take(), shelf.delay)
    };
    let refused = match (answer, field("valid")) {
        (Some(status), _) => Some(status),
        (None, "0") => Some(403),
        _ => redirect.is_some().then_some(307),
    };
    if let Some(status) = refused {
        let location = redirect.map(|to| format!("Location: {to}\r\n")).unwrap_or_default();
        let body = "<Error><Code>Refused</Code></Error>";
        let answer = format!(
            "HTTP/1.1 {status} Refused\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        // The rest is read, so that the answer is not lost with it.
        tokio::io::copy(&mut stream.take(length as u64), &mut tokio::io::sink()).await?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let mut data = Vec::with_capacity(length);
    while data.len() < length {
        let mut piece = vec![0; (16 << 10).min(length - data.len())];
        stream.read_exact(&mut piece).await?;
        data.extend_from_slice(&piece);
        shelf.lock().unwrap().received += piece.len() as u64;
        if cut_after.is_some_and(|most| data.len() >= most) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        time::sleep(delay).await;
    }
    let md5 = Md5::digest(&data);
    let is_whole = header("content-md5").as_deref() == Some(&BASE64_STANDARD.encode(md5));
    let status = if is_whole { "201 Created" } else { "400 Bad Request" };
    if is_whole {
        shelf.lock().unwrap().parts.insert((upload.to_owned(), offset), data);
    }
    let answer = format!("HTTP/1.1 {status}\r\nETag: \"{offset}\"\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}
