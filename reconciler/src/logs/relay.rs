//! One log that somebody watches: the line to its node, and the newest part of what came.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use almanac_schemas::NodeName;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{From, LogKey, Piece, Question, post::Post, ring::Ring};

/// How much of a log is kept for those who watch it.
const RING: usize = 256 << 10;

/// The most bytes that a node is asked for at once: what a link of 20 Mbit/s carries in a tenth of a second.
pub const MOST: u32 = 256 << 10;

/// How long a node may wait for something new before it says that there is nothing. It is also how soon it is known
/// that a node does not answer.
pub const WAIT: Duration = Duration::from_secs(5);

/// How long an answer may take on top of that.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before a node is asked again that has no log, or is not there.
const PAUSE: Duration = Duration::from_millis(500);

/// How many questions wait for the stream to the node to take them.
pub const QUESTIONS: usize = 16;

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Who asks.
    pub answer: oneshot::Sender<Piece>,
}

/// A node that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

/// One log.
#[derive(Debug)]
pub struct Relay {
    /// Which.
    pub key: LogKey,
    /// The run's node.
    pub node: NodeName,
    /// The stream of the node, while it is here.
    line: watch::Sender<Option<mpsc::Sender<Ask>>>,
    /// The newest part, once somebody has come to the end of what there is.
    newest: Mutex<Option<Newest>>,
    /// Tells when there is more of it.
    news: watch::Sender<()>,
    heard: Mutex<Instant>,
    post: Option<Post>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Newest {
    ring: Ring,
    ended: bool,
    /// The node has no such log any more.
    absent: bool,
}

/// What a watcher finds at its place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Whole lines.
    Lines(Bytes),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    End,
    /// Nothing: the node has no such log any more.
    Absent,
    /// It is to be asked for, at most so many bytes of it.
    Behind(u32),
}

impl Relay {
    /// A log that nobody has asked for yet, until `stop`.
    pub fn new(key: LogKey, node: NodeName, post: Option<Post>, stop: CancellationToken) -> Self {
        Self {
            key,
            node,
            line: watch::Sender::new(None),
            newest: Mutex::default(),
            news: watch::Sender::default(),
            heard: Mutex::new(Instant::now()),
            post,
            stop,
        }
    }

    /// The node has opened its stream. It replaces one that was there before, which may be dead.
    pub fn connect(&self, line: mpsc::Sender<Ask>) {
        self.line.send_replace(Some(line));
    }

    /// A stream has ended.
    pub fn disconnect(&self, line: &mpsc::Sender<Ask>) {
        self.line.send_if_modified(|current| {
            let is_current = current.as_ref().is_some_and(|current| current.same_channel(line));
            if is_current {
                *current = None;
            }
            is_current
        });
    }

    /// Cancelled when nobody watches any more.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells when the node opens or ends its stream.
    pub fn connections(&self) -> watch::Receiver<Option<mpsc::Sender<Ask>>> {
        self.line.subscribe()
    }

    /// Tells when there is more.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// When the node answered last, or this began.
    pub fn heard(&self) -> Instant {
        *lock(&self.heard)
    }

    /// Asks the node, here or at another reconciler.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn ask(&self, question: Question) -> Result<Piece, Away> {
        let answered = match (self.ask_here(question).await, &self.post) {
            (None, Some(post)) => post.ask(self.key, question).await,
            (answered, _) => answered.unwrap_or(Err(Away)),
        };
        if answered.is_ok() {
            *lock(&self.heard) = Instant::now();
        }
        answered
    }

    /// Asks the node whose stream is here, if it is.
    pub async fn ask_here(&self, question: Question) -> Option<Result<Piece, Away>> {
        let line = self.line.borrow().clone()?;
        let (answer, answered) = oneshot::channel();
        let asking = async {
            line.send(Ask { question, answer }).await.map_err(|_| Away)?;
            answered.await.map_err(|_| Away)
        };
        let asked = timeout(question.wait + PATIENCE, asking).await;
        if asked.is_err() {
            // It is open and says nothing: the node comes with another one, or has already.
            self.disconnect(&line);
        }
        Some(asked.unwrap_or(Err(Away)))
    }

    /// What is at a place of the newest part.
    pub fn at(&self, place: u64) -> Found {
        let newest = lock(&self.newest);
        let Some(Newest { ring, ended, absent }) = &*newest else { return Found::Behind(MOST) };
        if let Some(lines) = ring.at(place) {
            return Found::Lines(lines);
        }
        if place < ring.begin() {
            let bytes = u32::try_from(ring.begin() - place).unwrap_or(MOST);
            return Found::Behind(bytes.min(MOST));
        }
        match (ended, absent) {
            (true, _) => Found::End,
            (false, true) => Found::Absent,
            (false, false) => Found::Nothing,
        }
    }

    /// Somebody has come to the end of what there is: what comes from there on is asked for once, for all.
    pub fn go_on(self: &Arc<Self>, place: u64) {
        let mut newest = lock(&self.newest);
        if newest.is_none() {
            *newest = Some(Newest { ring: Ring::new(place, RING), ended: false, absent: false });
            tokio::spawn(Arc::clone(self).follow());
        }
    }

    /// Asks for what is new until the log ends, or nobody watches any more.
    async fn follow(self: Arc<Self>) {
        loop {
            let Some(place) = lock(&self.newest).as_ref().map(|newest| newest.ring.end()) else { return };
            let question = Question { from: From::Offset(place), most: MOST, wait: WAIT };
            let piece = tokio::select! {
                // Cancel-safe: nobody wants the answer any more.
                () = self.stop.cancelled() => return,
                piece = self.ask(question) => piece,
            };
            match piece {
                Ok(piece) => {
                    let absent = piece.absent;
                    if self.take(piece) {
                        return;
                    }
                    if absent {
                        sleep(PAUSE).await;
                    }
                }
                Err(Away) => self.wait().await,
            }
        }
    }

    /// Takes what is new; whether that was the last.
    fn take(&self, piece: Piece) -> bool {
        let mut newest = lock(&self.newest);
        let Some(newest) = &mut *newest else { return true };
        let was_absent = std::mem::replace(&mut newest.absent, piece.absent);
        newest.ended = piece.ended;
        if !piece.data.is_empty() || piece.begin > newest.ring.end() {
            newest.ring.push(piece.begin, piece.data);
        } else if !piece.ended && was_absent == piece.absent {
            return false;
        }
        self.news.send_replace(());
        newest.ended
    }

    /// Waits until the node may answer again.
    pub async fn wait(&self) {
        let mut connections = self.connections();
        let connected = connections.wait_for(Option::is_some);
        tokio::select! {
            // Cancel-safe: neither holds anything.
            _ = connected => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// Nothing that holds one can leave what is in it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> Arc<Relay> {
        let key = LogKey {
            run: "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".parse().unwrap(),
            role: almanac_schemas::RunRole::Client,
        };
        Arc::new(Relay::new(key, "london-01".parse().unwrap(), None, CancellationToken::new()))
    }

    fn question() -> Question {
        Question { from: From::Offset(0), most: MOST, wait: WAIT }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_says_nothing_is_given_up_and_a_newer_one_is_asked() {
        let relay = relay();
        assert_eq!(relay.ask(question()).await, Err(Away), "there is none");
        let (dead, mut unread) = mpsc::channel(1);
        relay.connect(dead.clone());
        assert_eq!(relay.ask(question()).await, Err(Away));
        assert!(relay.connections().borrow().is_none() && unread.try_recv().is_ok());
        let (line, mut asked) = mpsc::channel(1);
        relay.connect(line);
        relay.disconnect(&dead);
        let node = async {
            let ask = asked.recv().await.unwrap();
            ask.answer.send(Piece { written: 7, ..Piece::default() }).unwrap();
        };
        let (piece, ()) = tokio::join!(relay.ask(question()), node);
        assert_eq!(piece.unwrap().written, 7);
    }

    #[tokio::test]
    async fn what_is_new_is_asked_for_once_and_found_by_all() {
        let relay = relay();
        let (line, mut asked) = mpsc::channel(QUESTIONS);
        relay.connect(line);
        assert_eq!(relay.at(10), Found::Behind(MOST));
        relay.go_on(10);
        relay.go_on(10);
        assert_eq!(relay.at(10), Found::Nothing);
        assert_eq!(relay.at(3), Found::Behind(7));
        let mut news = relay.news();
        news.mark_unchanged();
        let ask: Ask = asked.recv().await.unwrap();
        assert_eq!(ask.question.from, From::Offset(10));
        let data = Bytes::from_static(b"line\n");
        ask.answer.send(Piece { begin: 10, data: data.clone(), written: 15, ..Piece::default() }).unwrap();
        news.changed().await.unwrap();
        assert_eq!(relay.at(10), Found::Lines(data));
        let ask = asked.recv().await.unwrap();
        assert_eq!(ask.question.from, From::Offset(15));
        ask.answer.send(Piece { begin: 15, written: 15, ended: true, ..Piece::default() }).unwrap();
        news.changed().await.unwrap();
        assert_eq!(relay.at(15), Found::End);
        assert!(asked.try_recv().is_err(), "nobody asks any more");
    }
}
