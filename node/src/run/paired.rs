//! The other side of a run that has one: a client holds its server's lease, and a server answers for itself.

use std::{convert::Infallible, sync::OnceLock, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time;

use almanac_schemas::{Phase, Reason, RunRole};

use crate::{
    clock,
    container::ContainerName,
    logs::LogFiles,
    runtime::Runtime,
    servers::{Answer, Lease, Loss, News, Servers, ready},
};

use super::{Interruption, Observation, Order, Outcome, Peer, Step};

/// How long a client may go on without its server: it may be about to end by itself, and knows best how it went.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The other side of a run.
pub(super) enum Paired {
    /// There is none.
    Alone,
    /// Its server, once it is wanted.
    Client(OnceLock<Lease>, Box<Servers>),
    /// Whom it serves.
    Server(Answer),
}

impl Paired {
    /// The other side of a run by its order.
    pub(super) fn new(servers: &Servers, order: &Order) -> Self {
        match order.role {
            RunRole::Server => Self::Server(servers.answer(order)),
            RunRole::Client if order.server().is_some() => {
                Self::Client(OnceLock::new(), Box::new(servers.clone()))
            }
            RunRole::Client => Self::Alone,
        }
    }

    /// Wants the server from now on.
    pub(super) fn want(&self, servers: &Servers, order: &Order) {
        if let Self::Client(lease, _) = self {
            lease.get_or_init(|| servers.lease(order));
        }
    }

    /// Waits for the server of a client. Answers another order where the server is reached elsewhere than this one says.
    ///
    /// # Errors
    ///
    /// When there is none in time: what that is to the run.
    pub(super) async fn server(&self, order: &Order) -> Result<Option<Order>, Observation> {
        let (Self::Client(lease, _), Some(peer)) = (self, order.server()) else { return Ok(None) };
        let Some(lease) = lease.get() else { return Ok(None) };
        let node = &peer.node;
        let ready = lease.ready(give_up_at(order, clock::now())).await;
        let address = ready.map_err(|loss| loss.prevents(node))?;
        if address.is_empty() {
            return Err(Observation::NoServer(format!(
                "the address of `{node}`, where the server runs, is not known; declare `address` in its manifest, or give \
                 it to its agent"
            )));
        }
        let differs = address != peer.address;
        let elsewhere = || Order { peer: Some(Peer { node: node.clone(), address }), ..order.clone() };
        Ok(differs.then(elsewhere))
    }

    /// Waits until a server that runs is ready, and says so; never ends.
    pub(super) async fn serve(
        &self,
        runtime: &dyn Runtime,
        name: &ContainerName,
        log: &LogFiles,
        order: &Order,
    ) -> Infallible {
        if let (Self::Server(answer), Some(server)) = (self, &order.spec.server) {
            ready::wait(runtime, name, log, &server.ready).await;
            answer.say(News::Ready);
        }
        std::future::pending().await
    }

    /// Waits until a client has been without its server for too long, and says why it is to end.
    pub(super) async fn lost(&self, order: &Order) -> Interruption {
        let Self::Client(lease, _) = self else { return std::future::pending().await };
        let (Some(lease), Some(server)) = (lease.get(), order.server()) else {
            return std::future::pending().await;
        };
        let loss = lease.lost().await;
        time::sleep(LAST_WORDS).await;
        loss.interrupts(&server.node)
    }

    /// How a command ended by itself: of a client whose server is lost, that is why it ended badly.
    pub(super) fn explain(&self, order: &Order, ended: Observation) -> Observation {
        let loss = match self {
            Self::Client(lease, _) => lease.get().and_then(Lease::loss),
            Self::Alone | Self::Server(_) => None,
        };
        match (ended, loss, order.server()) {
            (Observation::Exited(exit), Some(loss), Some(server)) if exit.code != Some(0) => {
                Observation::Bereft { exit, loss: loss.interrupts(&server.node) }
            }
            (ended, ..) => ended,
        }
    }

    /// What an interruption is to a run: a server that was never ready did not serve.
    pub(super) fn judge(&self, interruption: Interruption) -> Interruption {
        match self {
            Self::Server(answer) if interruption.reason == Reason::LengthReached && !answer.is_ready() => {
                let message = "it was not ready when its client gave up".to_owned();
                Interruption { reason: Reason::ServerUnavailable, message }
            }
            _ => interruption,
        }
    }

    /// The command is told to stop. Its client need not wait until it has ended to know why it is not served any more.
    pub(super) fn stops(&self, interruption: Option<&Interruption>) {
        if let (Self::Server(answer), Some(Interruption { reason, message })) = (self, interruption)
            && *reason != Reason::LengthReached
        {
            answer.say(News::Failed(Loss::of(*reason, message)));
        }
    }

    /// The command has ended.
    pub(super) fn ended(&self, order: &Order, outcome: &Outcome) {
        match self {
            Self::Server(answer) => match (outcome.phase, outcome.reason) {
                (Phase::Completed, Reason::ExitCode) => answer.say(News::Served),
                // Its time is over, or its client has ended.
                (Phase::Completed, _) => {}
                _ => answer.say(News::Failed(Loss::of(outcome.reason, &outcome.message))),
            },
            Self::Client(_, servers) => servers.release(order),
            Self::Alone => {}
        }
    }

    /// The command never began.
    pub(super) fn did_not_start(&self, order: &Order, end: &Step) {
        let loss = || Loss::of(end.reason.unwrap_or(Reason::ServerUnavailable), &end.message);
        match self {
            Self::Server(answer) => answer.say(News::Failed(loss())),
            Self::Client(lease, servers) if lease.get().is_some() => servers.release(order),
            Self::Client(..) | Self::Alone => {}
        }
    }
}

/// Until when a client waits for its server, from now on at the latest.
fn give_up_at(order: &Order, now: DateTime<Utc>) -> DateTime<Utc> {
    let timeout =
        order.spec.server.as_ref().map(|server| server.ready.timeout.to_delta()).unwrap_or_default();
    (order.begin().max(now) + timeout).min(order.start_by.0).min(order.end())
}
