//! The one task that decides: it puts all events in a line, asks the scheduler what is due, has the
//! journal settle it, and starts a worker for each run.

mod due;
mod hearing;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::{sync::watch, task::JoinError};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use almanac_schemas::{NodeName, Reason};

use crate::{
    backoff::Backoff,
    clock,
    connection::Held,
    desired::Desired,
    forecast::Outlook,
    instructions::Said,
    journal::{JournalError, OpenRun},
    policy::Policy,
    preparation::Preparations,
    run::{Interruption, Tools},
    runtime::chain,
    scheduler::Accounts,
    servers::Pairs,
    telemetry::anticipation::Anticipation,
    workers::Workers,
};

pub use hearing::{Done, Ears, Word};

/// What to do with the runs that go on when the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// They go on without it, and the next start takes them up.
    Detach,
    /// They have so much time to end, and are stopped then.
    Drain(std::time::Duration),
}

/// The dispatcher's own state.
pub struct Dispatcher {
    node: NodeName,
    tools: Tools,
    desired: Option<Desired>,
    accounts: Accounts,
    policy: Arc<Policy>,
    said: Said,
    operating_since: DateTime<Utc>,
    held: watch::Sender<Held>,
    /// When it was last looked at what the host says of what is to run.
    looked_ahead: Option<DateTime<Utc>>,
    /// Whether a disk had too little free for new runs.
    is_short: bool,
    preparations: Preparations,
    anticipation: Anticipation,
    workers: Workers,
    /// What the reconciler said of servers and their clients.
    pairs: Pairs,
}

impl Dispatcher {
    /// A dispatcher that goes on from what the journal holds.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn load(
        node: NodeName,
        tools: Tools,
        policy: Arc<Policy>,
        held: watch::Sender<Held>,
    ) -> Result<Self, JournalError> {
        let mut dispatcher = Self {
            node,
            accounts: tools.journal.accounts().await?,
            said: tools.journal.said().await?,
            policy,
            desired: None,
            operating_since: clock::now(),
            held,
            looked_ahead: None,
            is_short: false,
            preparations: Preparations::new(tools.clone()),
            anticipation: Anticipation::new(tools.telemetry.clone()),
            workers: Workers::new(tools.clone()),
            pairs: Pairs::default(),
            tools,
        };
        if let Some(snapshot) = dispatcher.tools.journal.snapshot().await? {
            match Desired::read(&snapshot) {
                Ok((desired, _)) => {
                    dispatcher.tools.traffic.limit(desired.node.upload_rate);
                    dispatcher.tools.telemetry.declare(&desired.node);
                    dispatcher.tools.kernel.allow(&desired.node);
                    dispatcher.desired = Some(desired);
                }
                Err(error) => {
                    warn!(error = chain(&error), "the stored snapshot cannot be read; waiting for another");
                }
            }
        }
        let outlook = Outlook::of(&dispatcher.said, Vec::new());
        dispatcher.held.send_replace(Held::of(dispatcher.desired.as_ref(), outlook));
        Ok(dispatcher)
    }

    /// Takes up runs that an agent before this one began.
    pub fn resume(&mut self, runs: Vec<OpenRun>) {
        for OpenRun { order, state } in runs {
            info!(run = %order.key(), job = %order.job, "taking up a run");
            self.workers.start(order, state, None);
        }
    }

    /// Dispatches until the agent is to stop, and does with what still runs then what is to be done with it.
    pub async fn run(mut self, mut ears: Ears, on_stop: OnStop, stop: CancellationToken) {
        let mut backoff = Backoff::for_engine();
        loop {
            let wake_at = match self.dispatch().await {
                Ok(wake_at) => {
                    backoff.reset();
                    wake_at
                }
                Err(error) => {
                    // Nothing was started: what is not in the journal does not happen.
                    error!(error = chain(&error), "nothing can be scheduled; trying again");
                    Some(clock::now() + backoff.next_wait())
                }
            };
            tokio::select! {
                // Cancel-safe: a message stays in its channel until it is taken, an ended worker
                // in its set, and a sleep holds nothing.
                () = stop.cancelled() => break,
                Some(message) = ears.there.recv() => self.hear(message).await,
                Some(word) = ears.here.recv() => self.obey(word).await,
                Some(ended) = self.workers.ended() => complain(ended),
                () = wake(wake_at) => {}
            }
        }
        self.preparations.end().await;
        if let OnStop::Drain(patience) = on_stop {
            self.drain(ears, patience).await;
        }
    }

    /// Ends the runs that are to end, by what was said and declared.
    fn interrupt(&self, now: DateTime<Utc>) {
        let (said, pairs) = (&self.said, &self.pairs);
        self.workers.interrupt(|order| {
            said.interruption(order, self.desired.as_ref(), now).or_else(|| pairs.interruption(order))
        });
    }

    /// Waits for what runs, and stops what still runs when the time is over. What ends it before that is still heard: that
    /// it is cancelled, that its client has ended, that the owner wants the link.
    async fn drain(mut self, mut ears: Ears, patience: std::time::Duration) {
        if self.workers.is_empty() {
            return;
        }
        info!(seconds = patience.as_secs(), "waiting for what runs, which is stopped after that time");
        let stop_at = clock::now() + patience;
        let mut is_stopped = false;
        loop {
            let now = clock::now();
            self.interrupt(now);
            if now >= stop_at && !is_stopped {
                is_stopped = true;
                self.workers.interrupt(|_| {
                    let message = "the agent was stopped, and was to stop what runs".to_owned();
                    Some(Interruption { reason: Reason::Cordoned, message })
                });
            }
            let stops_at = (!is_stopped).then_some(stop_at);
            // Cancel-safe: a message stays in its channel until it is taken, an ended worker in its set, and a sleep holds
            // nothing.
            tokio::select! {
                ended = self.workers.ended() => match ended {
                    Some(ended) => complain(ended),
                    None => return,
                },
                Some(message) = ears.there.recv() => self.hear(message).await,
                Some(word) = ears.here.recv() => self.obey(word).await,
                () = wake(stops_at.into_iter().chain(self.said.changes_at(now)).min()) => {}
            }
        }
    }
}

/// Waits until an instant or until the clock is set; for ever where there is nothing to wait for.
async fn wake(at: Option<DateTime<Utc>>) {
    match at {
        Some(at) => clock::wake_at(at).await,
        None => std::future::pending().await,
    }
}

fn complain(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a worker ended early; its run is taken up at the next start");
    }
}
