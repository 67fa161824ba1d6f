//! The runs that go on, each with the task that carries it out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time,
};
use tracing::{error, info};

use crate::{
    backoff::Backoff,
    preparation::{self, Prepared},
    run::{self, Interrupted, Interruption, Order, RunKey, State, Tools},
    runtime::chain,
    scheduler::Reservation,
};

/// The runs that go on.
pub struct Workers {
    tools: Tools,
    tasks: JoinSet<RunKey>,
    going: BTreeMap<RunKey, Going>,
}

struct Going {
    order: Order,
    /// The node's time that it has for itself.
    reservation: Option<Reservation>,
    interrupt: watch::Sender<Option<Interruption>>,
}

impl Workers {
    /// None.
    pub fn new(tools: Tools) -> Self {
        Self { tools, tasks: JoinSet::new(), going: BTreeMap::new() }
    }

    /// Carries a run on from where it stands.
    pub fn start(&mut self, order: Order, state: State, prepared: Option<Prepared>) {
        let (interrupt, interrupted) = watch::channel(None);
        let tools = self.tools.clone();
        // What is being delivered has ended.
        let reservation = order.reservation().filter(|_| !matches!(state, State::Delivering { .. }));
        self.going.insert(order.key(), Going { order: order.clone(), reservation, interrupt });
        self.tasks.spawn(carry_out(tools, order, state, prepared, interrupted));
    }

    /// Waits for the end of a task: its run has finished, or its files are queued. `None` where there is none.
    pub async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        // A task that ended early leaves its run here; it does not answer, and is taken up at the next start.
        let ended = self.tasks.join_next().await?;
        Some(ended.map(|key| drop(self.going.remove(&key))))
    }

    /// The time of the exclusive runs that go on. A run does not outlast its time by more than what it takes to stop it.
    pub fn reserved(&self, now: DateTime<Utc>) -> Vec<Reservation> {
        let reservations = self.going.values().filter_map(|going| going.reservation.clone());
        reservations.filter(|reservation| reservation.time.end > now).collect()
    }

    /// The orders of the runs that go on.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.going.values().map(|going| &going.order)
    }

    /// Whether no run goes on.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Ends the runs that a function gives a reason for. One that is ending is not told again.
    pub fn interrupt(&self, reason: impl Fn(&Order) -> Option<Interruption>) {
        for Going { order, interrupt, .. } in self.going.values() {
            if interrupt.borrow().is_none()
                && let Some(interruption) = reason(order)
            {
                info!(run = %order.key(), job = %order.job, message = interruption.message, "a run is to end");
                interrupt.send_replace(Some(interruption));
            }
        }
    }
}

/// Carries out a run, and goes on from the journal when the journal could not be written for a while.
async fn carry_out(
    tools: Tools,
    order: Order,
    mut state: State,
    prepared: Option<Prepared>,
    interrupted: Interrupted,
) -> RunKey {
    preparation::over(prepared).await;
    let mut backoff = Backoff::for_engine();
    let key = order.key();
    while let Err(error) =
        run::carry_out(tools.clone(), order.clone(), state.clone(), interrupted.clone()).await
    {
        error!(run = %key, error = chain(&error), "a run is held up; trying again");
        time::sleep(backoff.next_wait()).await;
        match tools.journal.open_run(&key).await {
            Ok(Some(run)) => state = run.state,
            Ok(None) => break,
            Err(error) => error!(run = %key, error = chain(&error), "the journal cannot be read"),
        }
    }
    key
}
