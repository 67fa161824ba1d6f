//! What a container does with its socket.

use std::{
    fs, io,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// What it says that is in the way.
    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

/// Connects to a socket, however long its path is.
pub(crate) fn connect(socket: &Path) -> io::Result<UnixStream> {
    let folder = fs::File::open(socket.parent().unwrap())?;
    let name = socket.file_name().unwrap().to_str().unwrap();
    let stream = UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// Asks, and waits for the answer.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(socket)?;
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: almanac\r\ncontent-length: {}\r\n\r\n", body.len())?;
    // What is too large may be answered before all of it is sent.
    let _ = stream.write_all(body);
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Err(_) if text.is_empty() => return Err(io::ErrorKind::ConnectionReset.into()),
        _ => {}
    }
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or_default() })
}
