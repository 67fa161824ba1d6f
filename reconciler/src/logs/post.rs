//! Carries letters between the reconcilers of one PostgreSQL, so that somebody may watch at one what a node sends to
//! another. Bytes of logs go by `NOTIFY` and are never written to a table.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use almanac_proto::reading::Reading;
use almanac_schemas::NodeName;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{audience::LEASE, causes::chain, live::Live, store::Store};

use super::{
    Hub, LogKey, Piece, Question,
    letters::{self, Arriving, Letter, Measured, Named},
    relay::Away,
};

/// How many letters wait to be sent: two answers of the largest kind.
const OUTGOING: usize = 32;

/// How many letters that were heard wait to be read. What does not fit is lost, and asked for again.
pub const INCOMING: usize = 256;

/// The most bytes that are asked for at once: some ten letters.
const MOST: u32 = 48 << 10;

/// How long a node may wait for something new. Whoever has its stream may end at any time, which nobody says.
const WAIT: Duration = Duration::from_secs(2);

/// How long an answer may take on top of that.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many questions of others are answered at once.
const ANSWERS: usize = 64;

/// Carries letters. Clones share it.
#[derive(Debug, Clone)]
pub struct Post(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// This reconciler, for as long as it runs.
    me: Uuid,
    next: AtomicU64,
    outgoing: mpsc::Sender<Letter>,
    waiting: Mutex<HashMap<u64, (Arriving, oneshot::Sender<Piece>)>>,
}

/// A question whose answer is waited for, until this is dropped.
struct Waiting<'a>(&'a Inner, u64);

impl Post {
    /// What carries letters, and the ones that are to be sent.
    pub fn new() -> (Self, mpsc::Receiver<Letter>) {
        let (outgoing, sent) = mpsc::channel(OUTGOING);
        let inner =
            Inner { me: Uuid::new_v4(), next: AtomicU64::new(1), outgoing, waiting: Mutex::default() };
        (Self(Arc::new(inner)), sent)
    }

    /// Asks whoever has the node's stream for a log.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn ask(&self, key: LogKey, question: Question) -> Result<Piece, Away> {
        let question = Question { most: question.most.min(MOST), wait: question.wait.min(WAIT), ..question };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.0.waiting().insert(id, (Arriving::default(), answer));
        let _waiting = Waiting(&self.0, id);
        let asking = async {
            let letter = Letter::ask(self.0.me, id, key, question);
            self.0.outgoing.send(letter).await.map_err(|_| Away)?;
            answered.await.map_err(|_| Away)
        };
        timeout(question.wait + PATIENCE, asking).await.unwrap_or(Err(Away))
    }

    /// Sends a letter, unless too many wait already. That somebody watches is repeated, and that nobody does any more is
    /// known after a while, so that it does not matter when it is lost.
    pub fn say(&self, letter: Letter) {
        let _ = self.0.outgoing.try_send(letter);
    }

    /// Sends all of them, one after the other as there is room, however many they are.
    pub fn repeat(&self, letters: Vec<Letter>) {
        let outgoing = self.0.outgoing.clone();
        if letters.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for letter in letters {
                if outgoing.send(letter).await.is_err() {
                    return;
                }
            }
        });
    }

    /// That somebody watches a log here.
    pub fn want(&self, key: LogKey, node: &NodeName) -> Letter {
        Letter::Want { from: self.0.me, node: node.to_string(), log: Named::new(key) }
    }

    /// That nobody does any more.
    pub fn done(&self, key: LogKey) -> Letter {
        Letter::Done { from: self.0.me, log: Named::new(key) }
    }

    /// That somebody watches here what a node measures.
    pub fn want_telemetry(&self, node: &NodeName) -> Letter {
        Letter::WantTelemetry { from: self.0.me, node: node.to_string() }
    }

    /// That nobody does any more.
    pub fn done_telemetry(&self, node: &NodeName) -> Letter {
        Letter::DoneTelemetry { from: self.0.me, node: node.to_string() }
    }

    /// Passes on what a node said. What is lost is measured again.
    pub fn tell_telemetry(&self, node: &NodeName, readings: &[Reading]) {
        let tell = |reading| {
            self.say(Letter::Telemetry { from: self.0.me, node: node.to_string(), reading });
        };
        if readings.is_empty() {
            tell(None);
        }
        for reading in readings {
            tell(Some(Measured::from(reading)));
        }
    }

    /// A part of an answer has arrived.
    fn arrived(&self, id: u64, begin: u64, data: &str, last: Option<letters::Rest>) {
        let mut waiting = self.0.waiting();
        let Some((arriving, _)) = waiting.get_mut(&id) else { return };
        let is_last = last.is_some();
        let piece = arriving.take(begin, data, last);
        if is_last && let Some((_, answer)) = waiting.remove(&id) {
            // Without a piece, a part was lost: whoever waits hears so, and asks again.
            if let Some(piece) = piece {
                let _ = answer.send(piece);
            }
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, (Arriving, oneshot::Sender<Piece>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}

/// The task that sends letters, until `stop`.
pub async fn send(store: Store, mut letters: mpsc::Receiver<Letter>, stop: CancellationToken) {
    loop {
        let letter = tokio::select! {
            // Cancel-safe: what was not sent is missed by somebody, who asks again.
            () = stop.cancelled() => return,
            letter = letters.recv() => letter,
        };
        let Some(letter) = letter else { return stop.cancelled().await };
        let Ok(text) = serde_json::to_string(&letter) else { continue };
        if let Err(error) = store.unless_lost(store.write_letter(&text)).await {
            tracing::debug!(error = chain(&error), "a letter about a log is lost; it is asked for again");
        }
    }
}

/// The task that reads what others write, and repeats what is wanted here, until `stop`.
pub async fn receive(hub: Hub, live: Live, mut heard: mpsc::Receiver<String>, stop: CancellationToken) {
    let Some(post) = hub.post().cloned() else { return stop.cancelled().await };
    let mut repeat = interval(LEASE / 4);
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let answers = Arc::new(Semaphore::new(ANSWERS));
    loop {
        tokio::select! {
            // Cancel-safe: letters that were not read are missed by somebody, who asks again.
            () = stop.cancelled() => return,
            text = heard.recv() => match text {
                Some(text) => read(&hub, &live, &post, &answers, &text),
                None => return stop.cancelled().await,
            },
            // Cancel-safe: a tick that was not taken comes again.
            _ = repeat.tick() => {
                hub.renew();
                live.renew();
            }
        }
    }
}

fn read(hub: &Hub, live: &Live, post: &Post, answers: &Arc<Semaphore>, text: &str) {
    let letter: Letter = match serde_json::from_str(text) {
        Ok(letter) => letter,
        Err(error) => return tracing::debug!(%error, "a letter of another version is not understood"),
    };
    let me = post.0.me;
    match letter {
        Letter::Want { from, node, log } if from != me => {
            if let (Some(key), Ok(node)) = (log.key(), node.parse()) {
                hub.wanted_elsewhere(key, &node, from);
            }
        }
        Letter::Done { from, log } if from != me => {
            if let Some(key) = log.key() {
                hub.leave_elsewhere(&key, from);
            }
        }
        Letter::Ask { from, id, log, at, most, wait } if from != me => {
            let Some(relay) = log.key().and_then(|key| hub.relay(key)) else { return };
            // One that does not get a place is asked again.
            let Ok(place) = Arc::clone(answers).try_acquire_owned() else { return };
            let outgoing = post.0.outgoing.clone();
            tokio::spawn(async move {
                if let Some(Ok(piece)) = relay.ask_here(letters::question(at, most, wait)).await {
                    for part in Letter::parts(from, id, &piece) {
                        if outgoing.send(part).await.is_err() {
                            return;
                        }
                    }
                }
                drop(place);
            });
        }
        Letter::WantTelemetry { from, node } if from != me => {
            if let Ok(node) = node.parse() {
                live.wanted_elsewhere(&node, from);
            }
        }
        Letter::DoneTelemetry { from, node } if from != me => {
            if let Ok(node) = node.parse() {
                live.leave_elsewhere(&node, from);
            }
        }
        Letter::Telemetry { from, node, reading } if from != me => {
            if let Ok(node) = node.parse() {
                live.said_elsewhere(&node, reading.and_then(Measured::reading));
            }
        }
        Letter::Part { to, id, begin, data, last } if to == me => post.arrived(id, begin, &data, last),
        _ => {}
    }
}
