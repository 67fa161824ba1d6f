//! What the dispatcher hears: from the reconciler, and on this host.

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use almanac_proto::v1;
use almanac_schemas::{Cordon, Scavenging};

use crate::{
    clock,
    desired::{Desired, Judgement},
    instructions::Instructions,
    journal::JournalError,
    point::Point,
    runtime::chain,
};

use super::Dispatcher;

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

impl Dispatcher {
    pub(super) async fn hear(&mut self, message: v1::WatchDesiredStateResponse) {
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
    pub(super) async fn obey(&mut self, word: Word) {
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
