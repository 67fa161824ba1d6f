//! Sends what is measured while somebody watches it, and keeps what costs something measured meanwhile.

use std::time::Duration;

use prost::Message;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tracing::debug;

use almanac_proto::{reading, v1};

use super::{Reading, Telemetry};
use crate::{backoff::Backoff, link::Link, traffic::Traffic};

/// How often it is said that the node is there while nothing is measured: a third of what those who watch take for
/// silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// One message waits while another is on its way. On a slow link readings are left out, and what is sent is new.
const MESSAGES: usize = 1;

/// What the stream needs.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The link.
    pub link: Link,
    /// What is measured.
    pub telemetry: Telemetry,
    /// What may be taken of the link.
    pub traffic: Traffic,
}

/// The task that keeps a stream open while somebody watches.
pub async fn send(mut sender: Sender, mut wanted: watch::Receiver<bool>, stop: CancellationToken) {
    loop {
        tokio::select! {
            // Cancel-safe: waiting holds nothing.
            () = stop.cancelled() => return,
            is_wanted = turns(&mut wanted, true) => if !is_wanted {
                return stop.cancelled().await;
            },
        }
        let fresh = sender.telemetry.want();
        tokio::select! {
            // Cancel-safe: dropped, the stream ends, and nobody counts on what was not sent.
            () = stop.cancelled() => return,
            _ = turns(&mut wanted, false) => {}
            () = sender.keep() => {}
        }
        drop(fresh);
    }
}

/// Waits until it is wanted, or is not. False when nobody will say so any more.
async fn turns(wanted: &mut watch::Receiver<bool>, to: bool) -> bool {
    wanted.wait_for(|wanted| *wanted == to).await.is_ok()
}

impl Sender {
    /// Keeps the stream open for as long as it is wanted, which the caller knows.
    async fn keep(&mut self) {
        let mut backoff = Backoff::for_calls();
        loop {
            match self.stream().await {
                // Nobody watches, and that is told in a moment; or somebody does again, at once.
                Ok(()) => {}
                Err(status) if status.code() == Code::Unimplemented => {
                    // Whatever answers now is older than what asked.
                    debug!("the reconciler takes no telemetry");
                }
                Err(status) => self.link.complain("send what is measured", &status),
            }
            self.link.back_off(&mut backoff).await;
        }
    }

    async fn stream(&self) -> Result<(), Status> {
        let (messages, receiver) = mpsc::channel(MESSAGES);
        let mut client = self.link.client();
        let call = client.stream_telemetry(Request::new(ReceiverStream::new(receiver)));
        tokio::pin!(call);
        tokio::select! {
            // Cancel-safe: both end with the stream.
            answer = &mut call => return answer.map(drop),
            () = self.feed(messages) => {}
        }
        call.await.map(drop)
    }

    /// Gives what is measured to a stream until it takes nothing any more.
    async fn feed(&self, messages: mpsc::Sender<v1::StreamTelemetryRequest>) {
        // Before what is known is read: nothing is to be missed in between.
        let mut heard = self.telemetry.listen();
        let known = self.telemetry.latest().into_iter();
        let known = known.map(|(provider, (at, sample))| Reading { provider, at, sample: Some(sample) });
        let readings = known.map(message).collect();
        let mut next = v1::StreamTelemetryRequest { node: self.link.node.to_string(), readings };
        let mut life = interval(SIGN_OF_LIFE);
        life.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.traffic.turn(next.encoded_len()).await;
            if messages.send(next).await.is_err() {
                return;
            }
            life.reset();
            next = v1::StreamTelemetryRequest::default();
            tokio::select! {
                // Cancel-safe: a reading that was not received is received the next time, and a tick comes again.
                reading = heard.recv() => match reading {
                    Ok(reading) => next.readings.push(message(reading)),
                    Err(RecvError::Lagged(_)) => {}
                    // Whoever measures ends with the agent.
                    Err(RecvError::Closed) => return,
                },
                _ = life.tick() => {}
            }
        }
    }
}

fn message(Reading { provider, at, sample }: Reading) -> v1::Reading {
    reading::Reading { provider, at, sample: sample.unwrap_or_default() }.into()
}
