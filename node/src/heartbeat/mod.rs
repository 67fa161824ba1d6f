//! Says that the node is alive, and what it is, on a stream that stays open. Each heartbeat and its answer are
//! also a look at both clocks, and a look whether the reconciler is there.

pub mod host;
pub mod offset;
pub mod said;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming};
use tracing::{info, warn};

use almanac_proto::{convert, limits, v1};
use almanac_schemas::ClockOffset;

use crate::{
    backoff::Backoff,
    clock,
    connection::Held,
    link::{Link, settled},
    runtime::{Runtime, chain},
};

use host::Host;
use offset::Exchange;
use said::{About, Said};

/// What heartbeats are made of.
pub struct Pulse {
    /// What runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Which boot of the host this is.
    pub boot_id: String,
    /// The address that other nodes reach this one at, if it is known.
    pub address: Option<String>,
    /// How the host is.
    pub host: Host,
    /// By how much the clock is off, for those who ask on this host.
    pub clock: watch::Sender<Option<ClockOffset>>,
}

/// How long to wait where the reconciler does not say.
const INTERVAL: time::Duration = time::Duration::from_secs(30);

/// How long the engine may take to say what it is. One that hangs must not make the node look as if it did.
const ENGINE: time::Duration = time::Duration::from_secs(5);

/// Sends heartbeats at the pace that the reconciler asks for, until the agent stops. A new state is
/// told at once.
pub async fn beat(
    mut link: Link,
    mut pulse: Pulse,
    mut held: watch::Receiver<Held>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::for_calls();
    loop {
        let end = tokio::select! {
            // Cancel-safe: a heartbeat that is cut off is as if it was lost on its way.
            () = stop.cancelled() => return,
            end = follow(&link, &mut pulse, &mut held, &mut backoff) => end,
        };
        link.complain("heartbeat", &settled(end));
        tokio::select! {
            // Cancel-safe: waiting holds nothing.
            () = stop.cancelled() => return,
            () = link.back_off(&mut backoff) => {}
        }
    }
}

/// Sends heartbeats on one stream until it ends, and says why it did.
async fn follow(
    link: &Link,
    pulse: &mut Pulse,
    held: &mut watch::Receiver<Held>,
    backoff: &mut Backoff,
) -> Status {
    // Each waits for its answer, so there is never a second one.
    let (beats, receiver) = mpsc::channel(1);
    let mut said = Said::default();
    let about = pulse.about(held).await;
    if beats.try_send(said.next(&link.node, about)).is_err() {
        return ended();
    }
    let mut sent = Sent::now();
    let open = async {
        let mut answers =
            link.client().heartbeat(Request::new(ReceiverStream::new(receiver))).await?.into_inner();
        let answer = answers.message().await?.ok_or_else(ended)?;
        Ok((answers, answer))
    };
    let (mut answers, mut answer) = match in_time(link, open).await {
        Ok(opened) => opened,
        Err(status) => return status,
    };
    loop {
        pulse.compare_clocks(sent, &answer);
        let interval = answer.interval.and_then(|interval| time::Duration::try_from(interval).ok());
        let interval = interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
        let changed = async {
            if held.changed().await.is_err() {
                // The dispatcher has stopped, and this task is told next.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // Cancel-safe: waiting holds nothing, and an answer that nobody asked for is not wanted.
            () = time::sleep(interval) => {}
            () = changed => {}
            end = end_of(&mut answers) => return end,
        }
        let about = pulse.about(held).await;
        sent = Sent::now();
        if beats.send(said.next(&link.node, about)).await.is_err() {
            return end_of(&mut answers).await;
        }
        let exchange = async { answers.message().await?.ok_or_else(ended) };
        answer = match in_time(link, exchange).await {
            Ok(answer) => answer,
            Err(status) => return status,
        };
        // A stream that ends after its first answer would be opened again and again.
        backoff.reset();
    }
}

/// Waits for an answer as long as one may take, and says whether it came.
async fn in_time<T>(link: &Link, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answered = time::timeout(limits::HEARTBEAT_DEADLINE, answer).await;
    link.says(answered.is_ok());
    answered.unwrap_or_else(|_| Err(unanswered()))
}

/// What a heartbeat without an answer says about the reconciler.
pub fn unanswered() -> Status {
    let seconds = limits::HEARTBEAT_DEADLINE.as_secs();
    Status::unavailable(format!("a heartbeat was not answered within {seconds} s"))
}

/// Waits until the reconciler ends a stream.
async fn end_of(answers: &mut Streaming<v1::HeartbeatResponse>) -> Status {
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return ended(),
            Err(status) => return status,
        }
    }
}

fn ended() -> Status {
    Status::unavailable("the reconciler ended the stream")
}

/// When a heartbeat was sent, by both clocks.
#[derive(Clone, Copy)]
struct Sent {
    at: chrono::DateTime<chrono::Utc>,
    monotonic: std::time::Instant,
}

impl Sent {
    fn now() -> Self {
        Self { at: clock::now(), monotonic: std::time::Instant::now() }
    }
}

impl Pulse {
    /// What there is to say.
    async fn about(&mut self, held: &mut watch::Receiver<Held>) -> About {
        let engine = match time::timeout(ENGINE, self.runtime.describe()).await {
            Ok(Ok(engine)) => engine,
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("the engine does not answer within {} s", ENGINE.as_secs()),
        };
        let host = self.host.at(std::time::Instant::now()).await;
        let state = held.borrow_and_update().clone();
        About {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.clone(),
            address: self.address.clone().unwrap_or_default(),
            engine,
            version: state.version,
            outlook: (&state.outlook).into(),
            clock: *self.clock.borrow(),
            host,
        }
    }

    /// Measures by how much the clock is off, and says when that begins and ends to matter.
    fn compare_clocks(&self, sent: Sent, answer: &v1::HeartbeatResponse) {
        let Ok(server_time) = convert::instant("server_time", answer.server_time.as_ref()) else { return };
        let took = sent.monotonic.elapsed();
        let exchange = Exchange { sent_at: sent.at, received_at: clock::now(), took, server_time };
        let Some(offset) = exchange.offset() else { return };
        let before = self.clock.send_replace(Some(offset)).is_some_and(ClockOffset::is_too_large);
        match (before, offset.is_too_large()) {
            (false, true) => {
                warn!("the clock of this host is {offset}: runs start as early or late; set it by NTP");
            }
            (true, false) => info!("the clock of this host is right again: {offset}"),
            (true, true) | (false, false) => {}
        }
    }
}
