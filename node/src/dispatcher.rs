//! The one task that decides: it puts all events in a line, asks the scheduler what is due, has the
//! journal settle it, and starts a worker for each run.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinError,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use almanac_proto::v1;
use almanac_schemas::{Cordon, Instant, NodeName, Reason, RunId, RunRole, Scavenging, node::Limits};

use crate::{
    backoff::Backoff,
    clock,
    connection::Held,
    desired::{Desired, Judgement},
    forecast::{Outlook, hindrances},
    instructions::{Instructions, Said},
    journal::{JournalError, OpenRun, Settlement},
    point::Point,
    policy::Policy,
    preparation::Preparations,
    run::{self, Interruption, Order, Peer, State, Tools, Transition},
    runtime::chain,
    scheduler::{self, Accounts, Decision, Situation, Verdict},
    servers::{self, Loss, Pairs, plan::Going},
    telemetry::anticipation::Anticipation,
    workers::Workers,
};

/// What to do with the runs that go on when the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// They go on without it, and the next start takes them up.
    Detach,
    /// They have so much time to end, and are stopped then.
    Drain(std::time::Duration),
}

/// How often it is looked at what the host says of what is to run, at most: quiet hours begin and end.
const LOOK_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// How often it is looked whether there is room for new runs again.
const SHORT_LOOK: TimeDelta = TimeDelta::minutes(1);

/// Takes whether what was said holds now.
pub type Done = oneshot::Sender<Result<(), JournalError>>;

/// Something that is said on this host.
#[derive(Debug)]
pub enum Word {
    /// The owner says whether new runs start.
    Cordon {
        /// What keeps them from it.
        cordon: Option<Cordon>,
        /// Told once it holds, or why it does not.
        done: Done,
    },
    /// The owner says whether they want its link.
    Scavenge {
        /// Who wants it, and until when.
        scavenging: Option<Scavenging>,
        /// As of a cordon.
        done: Done,
    },
    /// Somebody wants to know whether the dispatcher is alive.
    Alive(oneshot::Sender<()>),
}

/// Where the dispatcher hears from others.
#[derive(Debug)]
pub struct Ears {
    /// The reconciler.
    pub there: mpsc::Receiver<v1::WatchDesiredStateResponse>,
    /// This host.
    pub here: mpsc::Receiver<Word>,
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

    /// Settles what is due and starts what is to run. Returns when something is due next.
    async fn dispatch(&mut self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let now = clock::now();
        self.interrupt(now);
        let changes_at = self.said.changes_at(now);
        let reserved = self.workers.reserved(now);
        let short = self.tools.disk.shortage();
        if short.is_some() != self.is_short {
            self.is_short = short.is_some();
            self.looked_ahead = None;
            match &short {
                Some(short) => warn!(message = %short, "no new run starts"),
                None => info!("as far as the disks are concerned, new runs start again"),
            }
        }
        let changes_at = changes_at.into_iter().chain(short.map(|_| now + SHORT_LOOK)).min();
        let Some(desired) = &self.desired else { return Ok(changes_at) };
        let anticipated = self.anticipation.follow(desired, now);
        let situation = Situation {
            node: &self.node,
            reserved: &reserved,
            lost_at: self.tools.journal.rebuilt().map(|rebuilt| rebuilt.at),
            desired,
            accounts: &self.accounts,
            policy: &self.policy,
            said: &self.said,
            operating_since: self.operating_since,
            short: short.as_ref(),
            now,
        };
        if self.looked_ahead.is_none_or(|at| (now - at).abs() >= LOOK_AHEAD) {
            self.looked_ahead = Some(now);
            let outlook = Outlook::of(&self.said, hindrances(&situation));
            self.held.send_replace(Held::of(Some(desired), outlook));
        }
        let mut plan = scheduler::plan(&situation);
        let going = Going::of(self.workers.orders());
        let wanted = servers::plan::plan(&situation, &self.pairs, &going);
        plan.decisions.extend(wanted.decisions);
        plan.upcoming.extend(wanted.upcoming);
        plan.wake_at = plan.wake_at.into_iter().chain(wanted.wake_at).min();
        let order =
            |decision: &Decision<'_>, start_by, limits| self.order(desired, decision, start_by, limits);
        let upcoming = plan.upcoming.iter().filter_map(|decision| match &decision.verdict {
            Verdict::Start { by, limits } => Some(order(decision, *by, limits)),
            Verdict::Omit(_) => None,
        });
        let upcoming: Vec<Order> = upcoming.collect();
        let wake_at = plan.wake_at.into_iter().chain(changes_at).chain(anticipated).min();
        if plan.decisions.is_empty() {
            self.preparations.follow(upcoming);
            return Ok(wake_at);
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
        let fresh = self.tools.journal.settle(&settlements, now).await?;
        self.tools.points.reach(Point::Settled);
        self.tools.report.notify_one();
        for (Settlement { order, transition }, fresh) in settlements.into_iter().zip(fresh) {
            self.accounts
                .entry(order.job.clone())
                .and_modify(|settled| *settled = (*settled).max(order.scheduled_at.0))
                .or_insert(order.scheduled_at.0);
            self.settle_server(&order, &transition, fresh);
            if !fresh {
                continue;
            }
            if let Some(step) = &transition.step {
                info!(run = %order.key(), job = %order.job, phase = %step.phase, message = step.message, "run");
            }
            if !transition.state.is_finished() {
                let prepared = self.preparations.take(&order);
                self.workers.start(order, transition.state, prepared);
            }
        }
        // Last, since it withdraws whatever was not taken.
        self.preparations.follow(upcoming);
        Ok(wake_at)
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
        let mut stop_at = Some(clock::now() + patience);
        loop {
            self.interrupt(clock::now());
            // Cancel-safe: a message stays in its channel until it is taken, an ended worker in its set, and a sleep holds
            // nothing.
            tokio::select! {
                ended = self.workers.ended() => match ended {
                    Some(ended) => complain(ended),
                    None => return,
                },
                Some(message) = ears.there.recv() => self.hear(message).await,
                Some(word) = ears.here.recv() => self.obey(word).await,
                () = wake(stop_at) => {
                    stop_at = None;
                    self.workers.interrupt(|_| {
                        let message = "the agent was stopped, and was to stop what runs".to_owned();
                        Some(Interruption { reason: Reason::Cordoned, message })
                    });
                }
            }
        }
    }

    fn order(
        &self,
        desired: &Desired,
        Decision { assignment, scheduled_at, client, .. }: &Decision<'_>,
        start_by: DateTime<Utc>,
        limits: &Limits,
    ) -> Order {
        let run = RunId::new(&assignment.job, client.as_ref().unwrap_or(&self.node), *scheduled_at);
        let server = || assignment.spec.server.as_ref().map(|server| self.pairs.peer(&server.node));
        let client = client.as_ref().map(|client| Peer { node: client.clone(), address: String::new() });
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
            peer: client.or_else(server),
        }
    }

    /// Remembers that something was made of a server that is wanted, and tells its client where that is nothing good.
    fn settle_server(&mut self, order: &Order, transition: &Transition, fresh: bool) {
        if order.role != RunRole::Server {
            return;
        }
        let run = order.key().id;
        self.pairs.take(run);
        let refusal = match &transition.step {
            _ if !fresh => Some(Loss::from("its part of this run has ended already")),
            Some(step) if transition.state.is_finished() => {
                Some(Loss::of(step.reason.unwrap_or(Reason::ServerUnavailable), &step.message))
            }
            _ => None,
        };
        if let Some(loss) = refusal {
            self.tools.servers.refuse(run, order.end(), loss);
        }
    }

    async fn hear(&mut self, message: v1::WatchDesiredStateResponse) {
        if let Some(instructions) = message.instructions {
            self.follow(instructions).await;
        }
        if let Some(snapshot) = message.snapshot {
            self.accept(snapshot).await;
        }
        if let Some(renewal) = message.renewal {
            self.renew(&renewal).await;
        }
        if let Some(tasks) = message.tasks {
            for (run, error) in self.pairs.hear(tasks) {
                error!(run, error = chain(&error), "a task is ignored; is this agent too old for it?");
            }
        }
    }

    /// Goes on by the snapshot that is held, for longer.
    async fn renew(&mut self, renewal: &v1::Renewal) {
        let now = clock::now();
        let Some(desired) = &mut self.desired else {
            error!("the reconciler renews a state that this agent does not hold");
            return;
        };
        let was_over = desired.valid_until <= now;
        if let Err(error) = desired.renew(renewal) {
            error!(error = chain(&error), "a renewal is ignored");
            return;
        }
        if let Err(error) = self.tools.journal.renew_snapshot(renewal, now).await {
            error!(error = chain(&error), "a renewal cannot be stored; it holds until the agent stops");
        }
        if was_over {
            self.operating_since = now;
        }
        self.looked_ahead = None;
    }

    /// Takes what people said to the reconciler, or says why not.
    async fn follow(&mut self, message: v1::Instructions) {
        let instructions = match Instructions::try_from(message) {
            Ok(instructions) => instructions,
            Err(error) => {
                error!(error = chain(&error), "instructions are ignored; is this agent too old for them?");
                return;
            }
        };
        if instructions == self.said.there {
            return;
        }
        if let Err(error) = self.tools.journal.say_there(&instructions).await {
            error!(error = chain(&error), "instructions cannot be stored and are not followed");
            return;
        }
        match &instructions.cordon {
            Some(cordon) => info!(message = %cordon, "no new run starts"),
            None if self.said.there.cordon.is_some() => info!("new runs start again"),
            None => {}
        }
        match &instructions.scavenging {
            Some(scavenging) => info!(message = %scavenging, "no exclusive run goes on or starts"),
            None if self.said.there.scavenging.is_some() => info!("exclusive runs start again"),
            None => {}
        }
        self.said.there = instructions;
    }

    /// Takes what is said on this host. Whoever said it may have gone; it holds all the same.
    async fn obey(&mut self, word: Word) {
        let (cordon, done) = match word {
            Word::Cordon { cordon, done } => (cordon, done),
            Word::Scavenge { scavenging, done } => {
                let _ = done.send(self.scavenge(scavenging).await);
                return;
            }
            Word::Alive(alive) => {
                let _ = alive.send(());
                return;
            }
        };
        let stored = self.tools.journal.say_here(cordon.as_ref()).await;
        if stored.is_ok() {
            match &cordon {
                Some(cordon) => info!(message = %cordon, "no new run starts"),
                None => info!("as far as the host is concerned, new runs start"),
            }
            self.said.here = cordon.clone();
            self.held.send_modify(|held| held.outlook.cordon = cordon);
        }
        let _ = done.send(stored);
    }

    /// Takes whether the host's owner wants its link.
    async fn scavenge(&mut self, scavenging: Option<Scavenging>) -> Result<(), JournalError> {
        self.tools.journal.say_scavenging(scavenging.as_ref()).await?;
        match &scavenging {
            Some(scavenging) => info!(message = %scavenging, "no exclusive run goes on or starts"),
            None => info!("as far as the host is concerned, exclusive runs start"),
        }
        self.said.scavenging_here.clone_from(&scavenging);
        self.held.send_modify(|held| held.outlook.scavenging = scavenging);
        Ok(())
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
        self.tools.traffic.limit(desired.node.upload_rate);
        self.tools.telemetry.declare(&desired.node);
        self.tools.kernel.allow(&desired.node);
        self.desired = Some(desired);
        self.looked_ahead = None;
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
