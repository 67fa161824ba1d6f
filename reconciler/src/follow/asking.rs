//! Those who ask for a round, and the end that they hold.

use std::sync::Arc;

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    intent::Hold,
    lead::Leadership,
    store::{LookRow, SyncRow},
    sync::RoundError,
};

/// How many callers may wait for a round at a time. Each is a person; more than this is an accident,
/// and they are told to try again.
pub const ASKING: usize = 64;

/// The end that others hold.
#[derive(Debug, Clone)]
pub struct Follower {
    pub(super) ask: mpsc::Sender<Ask>,
    pub(super) status: watch::Receiver<LookRow>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) nudged: Arc<Notify>,
}

/// Why a round cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    /// Too many wait already.
    Busy,
    /// The task is stopping.
    Stopping,
}

impl Follower {
    /// Runs a round now, or joins the one that begins next, and waits for it.
    ///
    /// # Errors
    ///
    /// When too many wait already, or the task is stopping.
    pub async fn sync_now(&self) -> Result<Answer, AskError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Round(answer))?;
        answered.await.map_err(|_| AskError::Stopping)
    }

    /// The whole hash of a commit of the repository, by the beginning of it; or why there is none.
    ///
    /// # Errors
    ///
    /// When too many wait already, or the task is stopping.
    pub async fn find(&self, prefix: String) -> Result<Found, AskError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Find(prefix, answer))?;
        answered.await.map_err(|_| AskError::Stopping)
    }

    fn ask(&self, ask: Ask) -> Result<(), AskError> {
        self.ask.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Stopping,
        })
    }

    /// Says that the repository may have changed. It is looked at soon.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// How many wait for a round to begin.
    pub fn waiting(&self) -> usize {
        self.ask.max_capacity() - self.ask.capacity()
    }

    /// How the last look went.
    pub fn status(&self) -> LookRow {
        self.status.borrow().clone()
    }

    /// Whether this reconciler leads.
    pub fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }
}

/// What came of a round that somebody asked for, or why nothing did.
pub type Answer = Result<Looked, String>;

/// What came of a round.
#[derive(Debug, Clone)]
pub enum Looked {
    /// The sync of the commit that is to be in force.
    Sync(Box<SyncRow>),
    /// Nothing, since somebody wants the syncs to rest.
    Suspended(Hold),
}

/// The whole hash of a commit, or why there is none.
pub type Found = Result<String, RoundError>;

/// What somebody asks for, and where the answer goes.
#[derive(Debug)]
pub(super) enum Ask {
    Round(oneshot::Sender<Answer>),
    /// The whole hash of a commit of the repository, by the beginning of it.
    Find(String, oneshot::Sender<Found>),
}

/// Somebody who waits for the answer of a round, and whom the leader's look answers where this one does not lead.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) since: Instant,
    /// The number of the question that was put to the leader.
    pub(super) question: Option<i64>,
}

impl Waiting {
    pub(super) fn now(answer: oneshot::Sender<Answer>) -> Self {
        Self { answer, since: Instant::now(), question: None }
    }
}

/// Answers somebody. Whoever has gone away needs no answer.
pub(super) fn tell<T>(asking: oneshot::Sender<T>, answer: T) {
    let _ = asking.send(answer);
}
