//! The tasks that live, in memory: whoever waits for a change of one is told at once, and nobody else.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use almanac_proto::v1;
use almanac_schemas::{NodeName, RunId};
use chrono::{DateTime, Utc};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Task,
    peers::{self, Peers},
};
use crate::{
    applied::Applied,
    causes::chain,
    clock,
    hear::Ears,
    heartbeats::Heartbeats,
    store::{Store, StoreError},
};

/// How often it is looked for silent sides, and for addresses that nodes report.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked for tasks that are to be forgotten, in looks.
const FORGETTING: u32 = 600;

/// How many tasks of one client may live. An agent has a handful; more would be somebody who tries what happens.
const MOST_OF_A_CLIENT: usize = 64;

/// The tasks that live. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    tasks: BTreeMap<RunId, Task>,
    /// Nodes whose streams wait for what changes for them.
    nodes: HashMap<NodeName, watch::Sender<()>>,
    /// Calls of clients that wait for what changes of their task.
    runs: HashMap<RunId, watch::Sender<()>>,
    /// The newest call for each task: an older one is of a connection that died without a word.
    leases: HashMap<RunId, CancellationToken>,
}

impl Tasks {
    /// Reads what the database has.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let tasks = Self::default();
        tasks.refresh(store).await?;
        Ok(tasks)
    }

    /// A task, if it lives.
    pub fn get(&self, run: RunId) -> Option<Task> {
        self.lock().tasks.get(&run).cloned()
    }

    /// What a node has to do with others.
    pub fn message(&self, applied: &Applied, heartbeats: &Heartbeats, node: &NodeName) -> v1::Tasks {
        let known = self.lock();
        let mine = known.tasks.values().filter(|task| task.server == *node);
        // Where its own server is reached, a node need not be told.
        let tasks = mine.map(|task| task.message(String::new())).collect();
        drop(known);
        v1::Tasks { tasks, peers: peers::message(&peers::of(applied, heartbeats, node)) }
    }

    /// Tells when something changes for a node.
    pub fn listen(&self, node: &NodeName) -> watch::Receiver<()> {
        self.lock().nodes.entry(node.clone()).or_default().subscribe()
    }

    /// Tells when something changes of a task.
    pub fn follow(&self, run: RunId) -> watch::Receiver<()> {
        self.lock().runs.entry(run).or_default().subscribe()
    }

    /// A call holds the lease of a task; the one before does so no more. It is cancelled when another takes its place.
    pub fn lease(&self, run: RunId) -> CancellationToken {
        let mine = CancellationToken::new();
        if let Some(before) = self.lock().leases.insert(run, mine.clone()) {
            before.cancel();
        }
        mine
    }

    /// Whether a client has as many tasks as it may.
    pub fn is_full(&self, client: &NodeName) -> bool {
        let known = self.lock();
        let lives = |task: &&Task| task.client == *client && !task.state.is_over();
        known.tasks.values().filter(lives).count() >= MOST_OF_A_CLIENT
    }

    /// A task is as it is now, and whoever it concerns is told. What is older than what is known changes nothing.
    pub fn take(&self, task: Task) {
        let mut known = self.lock();
        if known.tasks.get(&task.run).is_some_and(|before| before.version >= task.version) {
            return;
        }
        if let Some(node) = known.nodes.get(&task.server) {
            node.send_replace(());
        }
        if let Some(run) = known.runs.get(&task.run) {
            run.send_replace(());
        }
        known.tasks.insert(task.run, task);
    }

    /// Reads what the database has now, and tells whoever it concerns.
    ///
    /// # Errors
    ///
    /// When the database fails; then what was read before is what counts.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        for task in store.tasks(clock::now()).await? {
            self.take(task);
        }
        Ok(())
    }

    /// The task that reads them again when another reconciler changed one, ends those of which one side is silent, and
    /// tells nodes of new addresses. It ends when `stop` is cancelled.
    pub async fn run(
        self,
        store: Store,
        ears: Arc<Ears>,
        applied: watch::Receiver<Arc<Applied>>,
        heartbeats: Heartbeats,
        stop: CancellationToken,
    ) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nobody was silent while nobody listened.
        let mut listening_since = clock::now();
        let mut addresses = Peers::new();
        let mut looks = 0_u32;
        loop {
            // Cancel-safe: what was not taken is said once more, and a tick comes again.
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                () = ears.tasks.notified() => true,
                _ = tick.tick() => false,
            };
            if heard {
                if let Err(error) = store.unless_lost(self.refresh(&store)).await {
                    tracing::warn!(
                        error = chain(&error),
                        "cannot read tasks; they are read when one changes"
                    );
                }
                continue;
            }
            self.tell_addresses(peers::all(&applied.borrow().clone(), &heartbeats), &mut addresses);
            self.forget(clock::now());
            looks = looks.wrapping_add(1);
            let ended = store.unless_lost(self.end_silent(&store, listening_since, looks)).await;
            if let Err(error) = ended {
                listening_since = clock::now();
                tracing::debug!(error = chain(&error), "cannot look for silent peers; trying again");
            }
        }
    }

    async fn end_silent(&self, store: &Store, since: DateTime<Utc>, looks: u32) -> Result<(), StoreError> {
        let now = clock::now();
        for task in store.end_silent_tasks(since, now).await? {
            tracing::info!(run = %task.run, job = %task.job, state = task.state.as_str(), message = task.message, "a task is over");
            self.take(task);
        }
        if looks.is_multiple_of(FORGETTING) {
            store.forget_tasks(now).await?;
        }
        Ok(())
    }

    /// Tells all nodes when a server is reached elsewhere than before; it is rare, and few of them have to be told.
    fn tell_addresses(&self, now: Peers, known: &mut Peers) {
        if now != *known {
            *known = now;
            for node in self.lock().nodes.values() {
                node.send_replace(());
            }
        }
    }

    /// Forgets the tasks whose time is over, and who waited for them.
    fn forget(&self, now: DateTime<Utc>) {
        let mut known = self.lock();
        let Known { tasks, nodes, runs, leases } = &mut *known;
        tasks.retain(|_, task| task.ends_at > now);
        nodes.retain(|_, node| node.receiver_count() > 0);
        runs.retain(|run, sender| tasks.contains_key(run) || sender.receiver_count() > 0);
        leases.retain(|run, _| tasks.contains_key(run));
    }

    /// Nothing that holds the lock can leave the maps half changed.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::tasks::TaskState;

    fn task(state: TaskState, version: i64) -> Task {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (job, client) = ("iperf".parse().unwrap(), "london-01".parse().unwrap());
        Task {
            run: RunId::new(&job, &client, now),
            job,
            client,
            server: "paris-01".parse().unwrap(),
            scheduled_at: now,
            ends_at: now + TimeDelta::minutes(1),
            ttl: TimeDelta::seconds(10),
            state,
            message: String::new(),
            made_room: false,
            version,
        }
    }

    #[test]
    fn both_sides_are_told_of_what_is_newer_and_nobody_else() {
        let tasks = Tasks::default();
        let first = task(TaskState::Requested, 1);
        let mut server = tasks.listen(&first.server);
        let mut other = tasks.listen(&"rome-01".parse().unwrap());
        let mut client = tasks.follow(first.run);
        let told = |receiver: &mut watch::Receiver<()>| {
            let told = receiver.has_changed().unwrap();
            receiver.mark_unchanged();
            told
        };
        tasks.take(first.clone());
        assert!(told(&mut server) && told(&mut client) && !told(&mut other));
        tasks.take(first.clone());
        assert!(!told(&mut server) && !told(&mut client));
        tasks.take(task(TaskState::Ready, 2));
        assert!(told(&mut server) && told(&mut client));
        // What another reconciler read before is older.
        tasks.take(first.clone());
        assert_eq!(tasks.get(first.run).unwrap().state, TaskState::Ready);
        tasks.forget(first.ends_at);
        assert_eq!(tasks.get(first.run), None);
    }

    #[test]
    fn a_newer_call_takes_the_lease() {
        let tasks = Tasks::default();
        let run = task(TaskState::Requested, 1).run;
        let first = tasks.lease(run);
        let second = tasks.lease(run);
        assert!(first.is_cancelled() && !second.is_cancelled());
    }
}
