//! Keeps the stream of desired states open.

use chrono::{DateTime, Utc};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tracing::{info, warn};

use almanac_proto::v1;

use crate::{
    backoff::Backoff,
    clock,
    contact::Contact,
    desired::{Desired, Version},
    forecast::Outlook,
    heartbeat,
    link::{Link, Online, advice, settled},
    logs::stream::{self, Wanted},
    telemetry::feed::Feeds,
};

/// How many messages may wait for the dispatcher. It takes each at once; one is kept in hand.
pub const MESSAGES: usize = 1;

/// What the node holds of its desired state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Which state.
    pub version: Version,
    /// When it should be renewed although nothing has changed: in the middle between when it was
    /// made and when it ends. A stream that is opened renews it.
    pub renew_at: Option<DateTime<Utc>>,
    /// What the host says of what is to run.
    pub outlook: Outlook,
}

impl Held {
    /// What a node holds that holds this state.
    pub fn of(desired: Option<&Desired>, outlook: Outlook) -> Self {
        let renew_at = desired.map(|desired| {
            let half = (desired.valid_until - desired.server_time) / 2;
            desired.valid_until - half
        });
        Self {
            version: desired.map(|desired| desired.version.clone()).unwrap_or_default(),
            renew_at,
            outlook,
        }
    }
}

/// Who hears what the reconciler says.
#[derive(Debug)]
pub struct Listeners {
    /// The dispatcher.
    pub messages: mpsc::Sender<v1::WatchDesiredStateResponse>,
    /// Who sends logs.
    pub logs: watch::Sender<Wanted>,
    /// Who computes with what is passed on.
    pub feeds: Feeds,
    /// Who sends what is measured.
    pub telemetry: watch::Sender<bool>,
}

/// Keeps the stream open until the agent stops, and hands on what comes.
pub async fn watch_desired_state(
    mut link: Link,
    online: Online,
    held: watch::Receiver<Held>,
    listeners: Listeners,
    contact: watch::Sender<Contact>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::for_calls();
    loop {
        let ended = tokio::select! {
            // Cancel-safe: the stream is dropped as a whole, and the next one begins with a snapshot.
            () = stop.cancelled() => return,
            ended = follow(&link, &online, &held, &listeners, &contact, &mut backoff) => ended,
        };
        match ended {
            Ok(()) => continue,
            Err(status) => {
                let status = settled(status);
                // Nobody can watch; whoever still wants to says so anew.
                listeners.telemetry.send_replace(false);
                contact.send_modify(|contact| contact.lose(&status, clock::now()));
                warn!(
                    code = ?status.code(),
                    status = status.message(),
                    todo = advice(status.code()),
                    "not connected to the reconciler; trying again"
                );
            }
        }
        tokio::select! {
            // Cancel-safe: waiting holds nothing.
            () = stop.cancelled() => return,
            () = link.back_off(&mut backoff) => {}
        }
    }
}

/// Follows one stream until it fails or the state has to be renewed.
async fn follow(
    link: &Link,
    online: &Online,
    held: &watch::Receiver<Held>,
    listeners: &Listeners,
    contact: &watch::Sender<Contact>,
    backoff: &mut Backoff,
) -> Result<(), Status> {
    let now = clock::now();
    let mut held = held.clone();
    let version = held.borrow_and_update().version.clone();
    let request = v1::WatchDesiredStateRequest {
        node: link.node.to_string(),
        epoch: version.epoch,
        generation: version.generation,
    };
    let mut stream = link.client().watch_desired_state(Request::new(request)).await?.into_inner();
    info!("connected to the reconciler");
    let mut answering = link.answering();
    online.send_modify(|count| *count += 1);
    contact.send_modify(|contact| contact.make(clock::now()));
    loop {
        let renew_at = held.borrow().renew_at.filter(|at| *at > now);
        let renewal = async {
            match renew_at {
                Some(at) => time::sleep(clock::until(at, clock::now())).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            // Cancel-safe: a message that is half received is lost with the stream, which is
            // opened again and begins with what has changed; a wait holds nothing.
            message = stream.message() => message?,
            () = renewal => return Ok(()),
            changed = held.changed() => match changed {
                // It is to be renewed at another time now.
                Ok(()) => continue,
                // The dispatcher has stopped, and this task is told next.
                Err(_) => return std::future::pending().await,
            },
            // A state is looked at again when it was missed. The stream stays: a long snapshot on its way may be
            // what holds up the answers.
            changed = answering.changed() => {
                if changed.is_ok() {
                    judge(*answering.borrow_and_update(), contact);
                }
                continue;
            }
        };
        let Some(mut message) = message else {
            return Err(Status::new(Code::Unavailable, "the reconciler ended the stream"));
        };
        backoff.reset();
        if let Some(requests) = message.logs.take() {
            listeners.logs.send_replace(stream::wanted(&requests));
        }
        listeners.feeds.take(&mut message);
        if let Some(wanted) = message.telemetry_wanted.take() {
            listeners.telemetry.send_replace(wanted);
        }
        if listeners.messages.send(message).await.is_err() {
            // The dispatcher has stopped, and this task is told next.
            return std::future::pending().await;
        }
    }
}

/// What it means for the contact that heartbeats are answered again, or not any more.
fn judge(answering: bool, contact: &watch::Sender<Contact>) {
    if answering {
        info!("the reconciler answers again");
        contact.send_modify(|contact| contact.make(clock::now()));
    } else {
        let status = heartbeat::unanswered();
        contact.send_modify(|contact| contact.lose(&status, clock::now()));
        warn!(status = status.message(), todo = advice(status.code()), "the reconciler does not answer");
    }
}
