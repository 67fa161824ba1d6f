//! What the agent's tasks share of its link to the reconciler.

use tokio::{sync::watch, time};
use tonic::{Code, Request, Status};
use tracing::{debug, warn};

use almanac_proto::{Connection, client::Signed, limits, v1::node_service_client::NodeServiceClient};
use almanac_schemas::NodeName;

use crate::backoff::Backoff;

/// The link of one task.
#[derive(Debug, Clone)]
pub struct Link {
    /// This node.
    pub node: NodeName,
    connection: Connection,
    /// Counts the times that the reconciler was reached after it was not.
    online: watch::Receiver<u64>,
    /// Whether heartbeats are answered.
    answering: watch::Sender<bool>,
}

/// Says that the reconciler was reached.
pub type Online = watch::Sender<u64>;

impl Link {
    /// A link over a connection, and the end of it for the task that keeps it up.
    pub fn new(node: NodeName, connection: Connection) -> (Self, Online) {
        let (sender, online) = watch::channel(0);
        (Self { node, connection, online, answering: watch::Sender::new(true) }, sender)
    }

    /// A client for one call.
    pub fn client(&self) -> NodeServiceClient<Signed> {
        self.connection.node()
    }

    /// A call that is not a stream, with its deadline.
    pub fn request<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(limits::CALL_DEADLINE);
        request
    }

    /// Says whether the last heartbeat was answered.
    pub fn says(&self, answered: bool) {
        self.answering.send_if_modified(|answering| std::mem::replace(answering, answered) != answered);
    }

    /// Whether heartbeats are answered, and when that changes.
    pub fn answering(&self) -> watch::Receiver<bool> {
        self.answering.subscribe()
    }

    /// Waits before a failed call is made again; not longer than until the reconciler is reached.
    pub async fn back_off(&mut self, backoff: &mut Backoff) {
        tokio::select! {
            // Cancel-safe: neither holds anything.
            () = time::sleep(backoff.next_wait()) => {}
            changed = self.online.changed() => match changed {
                Ok(()) => {}
                // The agent stops; the task is about to be told.
                Err(_) => time::sleep(backoff.next_wait()).await,
            },
        }
    }

    /// Says why a call failed and what to do. That the reconciler cannot be reached is said by the
    /// task that keeps the link up, and once is enough.
    pub fn complain(&self, what: &str, status: &Status) {
        if status.code() == Code::Unavailable {
            debug!(what, status = status.message(), "the reconciler cannot be reached");
        } else {
            warn!(
                what,
                code = ?status.code(),
                status = status.message(),
                todo = advice(status.code()),
                "the reconciler refused a call; trying again"
            );
        }
    }
}

/// An error as what it is to the agent: one that no reconciler sent, and that is not named yet, is the loss of
/// the connection.
pub fn settled(status: Status) -> Status {
    // What a reconciler answers has no cause on this side.
    if status.code() == Code::Unavailable || std::error::Error::source(&status).is_none() {
        return status;
    }
    Status::unavailable(format!("the connection was lost: {}", problem(&status)))
}

/// What went wrong with a call: the reconciler's own words, or what kept it from being reached.
pub fn problem(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = if text.is_empty() { cause_text } else { format!("{text}: {cause_text}") };
        }
        source = cause.source();
    }
    if text.is_empty() { status.code().to_string() } else { text }
}

/// What to do about an error of the reconciler.
pub fn advice(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated => {
            "put this agent's public key into the `keys` of the node's manifest, and check `--name`, `--audience` and the clock"
        }
        Code::PermissionDenied => "the key is known, but not as this node's; check `--name` and `--key`",
        Code::Unimplemented => "what answers is not a reconciler of this version; check `--server`",
        Code::Unavailable => {
            "check that the reconciler runs, `--server`, and the network; runs go on meanwhile"
        }
        _ => "see the reconciler's log",
    }
}
