//! Looks whether a server is ready: the way its job declares it.

use std::{net::SocketAddr, time::Duration};

use regex::bytes::Regex;
use tokio::{net::TcpStream, task, time};
use tracing::warn;

use almanac_proto::log::Line;
use almanac_schemas::job::Ready;

use crate::{
    container::ContainerName,
    logs::{From, LogFiles},
    runtime::{Runtime, chain},
};

/// How soon it is looked again, and how soon at most later on.
const SOON: Duration = Duration::from_millis(4);
const LATER: Duration = Duration::from_millis(200);

/// How long a connection, or a command in the container, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of a log is read at once.
const PIECE: usize = 256 << 10;

/// Waits until a server that runs is ready. It has no deadline of its own: its client has.
pub async fn wait(runtime: &dyn Runtime, name: &ContainerName, log: &LogFiles, ready: &Ready) {
    match ready {
        Ready { tcp: Some(port), .. } => again(|| accepts(runtime, name, *port)).await,
        Ready { exec: Some(command), .. } => again(|| succeeds(runtime, name, command)).await,
        Ready { log: Some(pattern), .. } => match Regex::new(pattern) {
            Ok(pattern) => says(log, &pattern).await,
            // It was refused when it was declared; such a server is never ready.
            Err(error) => {
                warn!(container = %name, %error, "the pattern of a server's log cannot be read");
                std::future::pending::<()>().await;
            }
        },
        _ => {}
    }
}

/// Asks until it is so, less and less often.
async fn again<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let mut wait = SOON;
    while !ask().await {
        time::sleep(wait).await;
        wait = (wait * 2).min(LATER);
    }
}

/// Whether it accepts connections. It is asked itself: an engine accepts them on a published port before anybody listens
/// behind it.
async fn accepts(runtime: &dyn Runtime, name: &ContainerName, port: u16) -> bool {
    let addresses = match runtime.addresses(name).await {
        Ok(addresses) => addresses,
        Err(error) => {
            warn!(container = %name, error = chain(&error), "a server cannot be reached");
            return false;
        }
    };
    for address in addresses {
        let connecting = TcpStream::connect(SocketAddr::new(address, port));
        if let Ok(Ok(_)) = time::timeout(PATIENCE, connecting).await {
            return true;
        }
    }
    false
}

/// Whether a command in the container ends well.
async fn succeeds(runtime: &dyn Runtime, name: &ContainerName, command: &[String]) -> bool {
    match time::timeout(PATIENCE, runtime.execute(name, command)).await {
        Ok(Ok(code)) => code == 0,
        Ok(Err(error)) => {
            warn!(container = %name, error = chain(&error), "a command cannot be run in the container of a server");
            false
        }
        Err(_) => false,
    }
}

/// Waits for a line in its output.
async fn says(log: &LogFiles, pattern: &Regex) {
    let (mut offset, mut wait) = (0, SOON);
    loop {
        let (files, from) = (log.clone(), From::Offset(offset));
        let piece = task::spawn_blocking(move || files.read(from, PIECE)).await;
        if let Ok(Ok(piece)) = piece
            && !piece.data.is_empty()
        {
            if piece.data.split_inclusive(|byte| *byte == b'\n').any(|line| matches(line, pattern)) {
                return;
            }
            (offset, wait) = (piece.end(), SOON);
            continue;
        }
        time::sleep(wait).await;
        wait = (wait * 2).min(LATER);
    }
}

/// Whether a line of a log is what is waited for, and the container's own.
fn matches(line: &[u8], pattern: &Regex) -> bool {
    Line::parse(line).is_some_and(|line| !line.is_ours() && pattern.is_match(line.text))
}

#[cfg(test)]
mod tests {
    use almanac_proto::log::{Stream, encode, say, stamp};
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_line_of_the_container_matches_and_no_other() {
        let pattern = Regex::new("^listening on [0-9]+$").unwrap();
        let at = stamp(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let line = |text: &str| {
            let mut line = Vec::new();
            encode(&mut line, &at, Stream::Stderr, text.as_bytes());
            line
        };
        assert!(matches(&line("listening on 5201"), &pattern));
        assert!(!matches(&line("not listening on 5201"), &pattern));
        let mut ours = Vec::new();
        say(&mut ours, &at, "listening on 5201");
        assert!(!matches(&ours, &pattern));
        assert!(!matches(b"listening on 5201", &pattern), "it has no stamp");
    }
}
