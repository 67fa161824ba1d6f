//! The one task that decides: it puts all events in a line, asks the scheduler what is due, has the
//! journal settle it, and starts a worker for each run.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use almanac_proto::v1;
use almanac_schemas::{Instant, NodeName, RunId, node::Limits};

use crate::{
    backoff::Backoff,
    clock,
    connection::Held,
    desired::{Desired, Judgement},
    journal::{JournalError, OpenRun, Settlement},
    point::Point,
    policy::Policy,
    preparation::{self, Preparations, Prepared},
    run::{self, Order, RunKey, State, Tools},
    runtime::chain,
    scheduler::{self, Accounts, Decision, Reservation, Situation, Verdict},
};

/// The dispatcher's own state.
pub struct Dispatcher {
    node: NodeName,
    tools: Tools,
    desired: Option<Desired>,
    accounts: Accounts,
    policy: Arc<Policy>,
    operating_since: DateTime<Utc>,
    held: watch::Sender<Held>,
    preparations: Preparations,
    workers: JoinSet<RunKey>,
    /// The time of the exclusive runs that go on.
    reserved: BTreeMap<RunKey, Reservation>,
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
            policy,
            desired: None,
            operating_since: clock::now(),
            held,
            preparations: Preparations::new(tools.clone()),
            workers: JoinSet::new(),
            reserved: BTreeMap::new(),
            tools,
        };
        if let Some(snapshot) = dispatcher.tools.journal.snapshot().await? {
            match Desired::read(&snapshot) {
                Ok((desired, _)) => dispatcher.hold(desired),
                Err(error) => {
                    warn!(error = chain(&error), "the stored snapshot cannot be read; waiting for another");
                }
            }
        }
        Ok(dispatcher)
    }

    /// Takes up runs that an agent before this one began.
    pub fn resume(&mut self, runs: Vec<OpenRun>) {
        for OpenRun { order, state } in runs {
            info!(run = %order.key(), job = %order.job, "taking up a run");
            self.begin(order, state, None);
        }
    }

    fn begin(&mut self, order: Order, state: State, prepared: Option<Prepared>) {
        // What is being delivered has ended.
        if let Some(reservation) = order.reservation().filter(|_| !matches!(state, State::Delivering { .. }))
        {
            self.reserved.insert(order.key(), reservation);
        }
        self.workers.spawn(carry_out(self.tools.clone(), order, state, prepared));
    }

    /// Dispatches until the agent stops. What still runs then goes on without it.
    pub async fn run(mut self, mut snapshots: mpsc::Receiver<v1::Snapshot>, stop: CancellationToken) {
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
                // Cancel-safe: a snapshot stays in its channel until it is taken, an ended worker
                // in its set, and a sleep holds nothing.
                () = stop.cancelled() => break,
                Some(snapshot) = snapshots.recv() => self.accept(snapshot).await,
                Some(ended) = self.workers.join_next() => match ended {
                    Ok(key) => drop(self.reserved.remove(&key)),
                    Err(error) => error!(%error, "a worker ended early; its run is taken up at the next start"),
                },
                () = wake(wake_at) => {}
            }
        }
        self.preparations.end().await;
    }

    /// Settles what is due and starts what is to run. Returns when something is due next.
    async fn dispatch(&mut self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let Some(desired) = &self.desired else { return Ok(None) };
        let now = clock::now();
        // A run does not outlast its time by more than what it takes to stop it.
        self.reserved.retain(|_, reservation| reservation.time.end > now);
        let reserved: Vec<Reservation> = self.reserved.values().cloned().collect();
        let situation = Situation {
            node: &self.node,
            reserved: &reserved,
            lost_at: self.tools.journal.rebuilt().map(|rebuilt| rebuilt.at),
            desired,
            accounts: &self.accounts,
            policy: &self.policy,
            operating_since: self.operating_since,
            now,
        };
        let plan = scheduler::plan(&situation);
        let order =
            |decision: &Decision<'_>, start_by, limits| self.order(desired, decision, start_by, limits);
        let upcoming = plan.upcoming.iter().filter_map(|decision| match &decision.verdict {
            Verdict::Start { by, limits } => Some(order(decision, *by, limits)),
            Verdict::Omit(_) => None,
        });
        let upcoming: Vec<Order> = upcoming.collect();
        if plan.decisions.is_empty() {
            self.preparations.follow(upcoming);
            return Ok(plan.wake_at);
        }
        let settlements: Vec<Settlement> = plan
            .decisions
            .iter()
            .map(|decision| {
                let (start_by, limits, transition) = match &decision.verdict {
                    Verdict::Start { by, limits } => (*by, limits, State::begin(now)),
                    Verdict::Omit(omission) => {
                        (decision.scheduled_at, &desired.node.limits, run::omitted(omission, now))
                    }
                };
                Settlement { order: order(decision, start_by, limits), transition }
            })
            .collect();
        let wake_at = plan.wake_at;
        let fresh = self.tools.journal.settle(&settlements, now).await?;
        self.tools.points.reach(Point::Settled);
        self.tools.report.notify_one();
        for (Settlement { order, transition }, fresh) in settlements.into_iter().zip(fresh) {
            self.accounts
                .entry(order.job.clone())
                .and_modify(|settled| *settled = (*settled).max(order.scheduled_at.0))
                .or_insert(order.scheduled_at.0);
            if !fresh {
                continue;
            }
            if let Some(step) = &transition.step {
                info!(run = %order.key(), job = %order.job, phase = %step.phase, message = step.message, "run");
            }
            if !transition.state.is_finished() {
                let prepared = self.preparations.take(&order);
                self.begin(order, transition.state, prepared);
            }
        }
        // Last, since it withdraws whatever was not taken.
        self.preparations.follow(upcoming);
        Ok(wake_at)
    }

    fn order(
        &self,
        desired: &Desired,
        Decision { assignment, scheduled_at, .. }: &Decision<'_>,
        start_by: DateTime<Utc>,
        limits: &Limits,
    ) -> Order {
        let run = RunId::new(&assignment.job, &self.node, *scheduled_at);
        Order {
            job: assignment.job.clone(),
            node: self.node.clone(),
            role: assignment.role,
            scheduled_at: Instant(*scheduled_at),
            begin_at: Some(Instant(*scheduled_at + run.offset(assignment.spec.schedule.jitter))),
            start_by: Instant(start_by),
            spec: (*assignment.spec).clone(),
            limits: limits.clone(),
            network: desired.network.clone(),
            commit: desired.commit.clone(),
        }
    }

    /// Takes a snapshot, or says why not.
    async fn accept(&mut self, snapshot: v1::Snapshot) {
        let (desired, unreadable) = match Desired::read(&snapshot) {
            Ok(read) => read,
            Err(error) => {
                error!(error = chain(&error), "a snapshot is ignored");
                return;
            }
        };
        for unreadable in unreadable {
            error!(
                job = unreadable.job,
                problem = unreadable.problem,
                "a job is left out; is this agent too old for it?"
            );
        }
        let now = clock::now();
        if let Some(held) = &self.desired {
            match held.version.judge(&desired.version) {
                Judgement::Accepted => {}
                Judgement::OtherEpoch => {
                    warn!(held = %held.version, new = %desired.version, "the reconciler has another database than before");
                }
                Judgement::Older => {
                    error!(held = %held.version, new = %desired.version, "an older snapshot is refused; was the reconciler's database restored from a backup?");
                    return;
                }
            }
        }
        if let Err(error) = self.tools.journal.store_snapshot(&snapshot, now).await {
            error!(error = chain(&error), "a snapshot cannot be stored and is not followed");
            return;
        }
        self.tools.points.reach(Point::Stored);
        // What was due while no valid state was held is nobody's lateness.
        if self.desired.as_ref().is_none_or(|held| held.valid_until <= now) {
            self.operating_since = now;
        }
        info!(
            generation = desired.version.generation,
            commit = desired.commit,
            jobs = desired.assignments.len(),
            "following a new state"
        );
        self.hold(desired);
    }

    fn hold(&mut self, desired: Desired) {
        self.held.send_replace(Held::of(&desired));
        self.desired = Some(desired);
    }
}

/// Waits until an instant or until the clock is set; for ever where there is nothing to wait for.
async fn wake(at: Option<DateTime<Utc>>) {
    match at {
        Some(at) => clock::wake_at(at).await,
        None => std::future::pending().await,
    }
}

/// Carries out a run, and goes on from the journal when the journal could not be written for a while.
async fn carry_out(tools: Tools, order: Order, mut state: State, prepared: Option<Prepared>) -> RunKey {
    preparation::over(prepared).await;
    let mut backoff = Backoff::for_engine();
    let key = order.key();
    while let Err(error) = run::carry_out(tools.clone(), order.clone(), state.clone()).await {
        error!(run = %key, error = chain(&error), "a run is held up; trying again");
        time::sleep(backoff.next_wait()).await;
        match tools.journal.open_run(&key).await {
            Ok(Some(run)) => state = run.state,
            Ok(None) => return key,
            Err(error) => error!(run = %key, error = chain(&error), "the journal cannot be read"),
        }
    }
    key
}
