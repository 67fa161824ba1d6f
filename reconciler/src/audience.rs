//! Who watches what, at this reconciler and at others of its database. What somebody watches is wanted of nodes.

use std::{
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use crate::logs::{letters::Letter, post::Post};

/// How many may watch at once, at one reconciler. Each costs it a task, and each log 256 KiB.
const WATCHERS: usize = 1000;

/// How many of a kind one caller may watch at once.
const WATCHERS_EACH: usize = 32;

/// For how long another reconciler's word counts that somebody watches there. It repeats it sooner.
pub const LEASE: Duration = Duration::from_secs(10);

/// What is kept of something for as long as anybody watches it.
pub trait Subject: Debug {
    /// Its name.
    type Key: Debug + Clone + Eq + Hash;
    /// What nodes are to send for all that is watched.
    type Wanted: Debug + Default + PartialEq;
    /// What is remembered beyond the last who watches.
    type Memory: Debug + Default;
    /// What several are called.
    const MANY: &'static str;

    /// What nodes are to send.
    fn wanted<'a>(watched: impl Iterator<Item = (&'a Self::Key, &'a Self)>) -> Self::Wanted
    where
        Self: 'a;

    /// What tells other reconcilers that somebody watches here.
    fn want(&self, key: &Self::Key, post: &Post) -> Letter;

    /// What tells them that nobody does any more.
    fn done(key: &Self::Key, post: &Post) -> Letter;
}

/// Who watches what. Clones share it.
#[derive(Debug)]
pub struct Audience<S: Subject>(Arc<Inner<S>>);

#[derive(Debug)]
struct Inner<S: Subject> {
    entries: Mutex<Entries<S>>,
    wanted: watch::Sender<Arc<S::Wanted>>,
    post: Option<Post>,
}

#[derive(Debug)]
struct Entries<S: Subject> {
    /// What somebody watches.
    of: HashMap<S::Key, Entry<S>>,
    memory: S::Memory,
    /// How many each caller watches.
    callers: HashMap<String, usize>,
}

#[derive(Debug)]
struct Entry<S> {
    subject: S,
    /// How many watch here.
    here: usize,
    /// The reconcilers at which somebody watches, and until when their word counts.
    elsewhere: HashMap<Uuid, Instant>,
}

/// Too many watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// Everybody together.
    #[error("{WATCHERS} {0} are watched already; try again when fewer are")]
    All(&'static str),
    /// The caller alone.
    #[error("you watch {WATCHERS_EACH} {0} already; end one of them first")]
    Caller(&'static str),
}

/// The place of somebody who watches, until this is dropped.
#[derive(Debug)]
pub struct Seat<S: Subject> {
    audience: Audience<S>,
    key: S::Key,
    caller: String,
}

impl<S: Subject> Audience<S> {
    /// Nobody watches yet. Where several reconcilers share a database, letters go by `post`.
    pub fn new(post: Option<Post>) -> Self {
        let entries = Entries { of: HashMap::new(), memory: S::Memory::default(), callers: HashMap::new() };
        Self(Arc::new(Inner { entries: Mutex::new(entries), wanted: watch::Sender::default(), post }))
    }

    /// What carries letters to other reconcilers, if there can be any.
    pub fn post(&self) -> Option<&Post> {
        self.0.post.as_ref()
    }

    /// Somebody begins to watch something, which is `new` when nobody did; `look` takes what there is to see of it.
    ///
    /// # Errors
    ///
    /// When too many do.
    pub fn join<T>(
        &self,
        key: S::Key,
        caller: &str,
        new: impl FnOnce() -> S,
        look: impl FnOnce(&S) -> T,
    ) -> Result<(Seat<S>, T), Full> {
        let mut entries = self.lock();
        if entries.callers.values().sum::<usize>() >= WATCHERS {
            return Err(Full::All(S::MANY));
        }
        let mine = entries.callers.entry(caller.to_owned()).or_default();
        if *mine >= WATCHERS_EACH {
            return Err(Full::Caller(S::MANY));
        }
        *mine += 1;
        let entry = entries.of.entry(key.clone()).or_insert_with(|| Entry::new(new()));
        entry.here += 1;
        if entry.here == 1
            && let Some(post) = self.post()
        {
            post.say(entry.subject.want(&key, post));
        }
        let seen = look(&entry.subject);
        self.tell(&entries);
        Ok((Seat { audience: self.clone(), key, caller: caller.to_owned() }, seen))
    }

    /// Somebody watches something at another reconciler, which is `new` when nobody did. Returns whether that
    /// reconciler did not say so before.
    pub fn join_elsewhere(&self, key: S::Key, replica: Uuid, new: impl FnOnce() -> S) -> bool {
        let mut entries = self.lock();
        let entry = entries.of.entry(key).or_insert_with(|| Entry::new(new()));
        let is_new = entry.elsewhere.insert(replica, Instant::now() + LEASE).is_none();
        self.tell(&entries);
        is_new
    }

    /// Nobody watches something any more at another reconciler.
    pub fn leave_elsewhere(&self, key: &S::Key, replica: Uuid) {
        let mut entries = self.lock();
        if let Some(entry) = entries.of.get_mut(key) {
            entry.elsewhere.remove(&replica);
        }
        self.tidy(&mut entries);
    }

    /// Repeats to other reconcilers what is watched here, and forgets the word of those that have not repeated it.
    pub fn renew(&self) {
        let mut entries = self.lock();
        if let Some(post) = self.post() {
            let here = entries.of.iter().filter(|(_, entry)| entry.here > 0);
            post.repeat(here.map(|(key, entry)| entry.subject.want(key, post)).collect());
        }
        let now = Instant::now();
        for entry in entries.of.values_mut() {
            entry.elsewhere.retain(|_, until| *until > now);
        }
        self.tidy(&mut entries);
    }

    /// Does something with what is watched, here or elsewhere; nothing when nobody watches it.
    pub fn with<T>(&self, key: &S::Key, deed: impl FnOnce(&mut S, &mut S::Memory) -> T) -> Option<T> {
        let Entries { of, memory, .. } = &mut *self.lock();
        of.get_mut(key).map(|entry| deed(&mut entry.subject, memory))
    }

    /// Looks at what is remembered.
    pub fn remembered<T>(&self, look: impl FnOnce(&S::Memory) -> T) -> T {
        look(&self.lock().memory)
    }

    /// Whether somebody watches something at another reconciler.
    pub fn is_watched_elsewhere(&self, key: &S::Key) -> bool {
        self.lock().of.get(key).is_some_and(|entry| !entry.elsewhere.is_empty())
    }

    /// What nodes are to send, and when that changes.
    pub fn wanted(&self) -> watch::Receiver<Arc<S::Wanted>> {
        self.0.wanted.subscribe()
    }

    fn leave(&self, key: &S::Key, caller: &str) {
        let mut entries = self.lock();
        if let Some(mine) = entries.callers.get_mut(caller) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                entries.callers.remove(caller);
            }
        }
        let Some(entry) = entries.of.get_mut(key) else { return };
        entry.here = entry.here.saturating_sub(1);
        if entry.here == 0
            && let Some(post) = self.post()
        {
            post.say(S::done(key, post));
        }
        self.tidy(&mut entries);
    }

    /// Forgets what nobody watches any more.
    fn tidy(&self, entries: &mut Entries<S>) {
        entries.of.retain(|_, entry| entry.here > 0 || !entry.elsewhere.is_empty());
        self.tell(entries);
    }

    /// Tells the streams of nodes what is wanted of them.
    fn tell(&self, entries: &Entries<S>) {
        let wanted = S::wanted(entries.of.iter().map(|(key, entry)| (key, &entry.subject)));
        self.0.wanted.send_if_modified(|known| {
            let differs = **known != wanted;
            if differs {
                *known = Arc::new(wanted);
            }
            differs
        });
    }

    /// Nothing that holds the lock can leave the maps half changed.
    fn lock(&self) -> MutexGuard<'_, Entries<S>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subject> Clone for Audience<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Entry<S> {
    fn new(subject: S) -> Self {
        Self { subject, here: 0, elsewhere: HashMap::new() }
    }
}

impl<S: Subject> Drop for Seat<S> {
    fn drop(&mut self) {
        self.audience.leave(&self.key, &self.caller);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Something that is watched, and only has a name.
    #[derive(Debug)]
    struct Star;

    impl Subject for Star {
        type Key = u32;
        type Wanted = BTreeSet<u32>;
        type Memory = ();
        const MANY: &'static str = "stars";

        fn wanted<'a>(watched: impl Iterator<Item = (&'a u32, &'a Self)>) -> BTreeSet<u32> {
            watched.map(|(key, _)| *key).collect()
        }

        fn want(&self, key: &u32, post: &Post) -> Letter {
            post.want_telemetry(&format!("star-{key}").parse().unwrap())
        }

        fn done(key: &u32, post: &Post) -> Letter {
            post.done_telemetry(&format!("star-{key}").parse().unwrap())
        }
    }

    fn join(stars: &Audience<Star>, key: u32, caller: &str) -> Result<Seat<Star>, Full> {
        stars.join(key, caller, || Star, |_| ()).map(|(seat, ())| seat)
    }

    fn join_elsewhere(stars: &Audience<Star>, key: u32, replica: Uuid) -> bool {
        stars.join_elsewhere(key, replica, || Star)
    }

    fn wanted(stars: &Audience<Star>) -> Vec<u32> {
        stars.wanted().borrow().iter().copied().collect()
    }

    #[test]
    fn something_is_wanted_while_anybody_watches_it() {
        let stars = Audience::new(None);
        let first = join(&stars, 1, "alice").unwrap();
        let changes = stars.wanted();
        let second = join(&stars, 1, "bob").unwrap();
        assert!(!changes.has_changed().unwrap(), "nodes are told once");
        drop(first);
        assert_eq!(wanted(&stars), [1]);
        assert!(stars.with(&1, |_, ()| ()).is_some() && !stars.is_watched_elsewhere(&1));
        drop(second);
        assert!(wanted(&stars).is_empty() && stars.with(&1, |_, ()| ()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn another_reconcilers_word_counts_for_a_while() {
        let stars = Audience::new(None);
        let replica = Uuid::new_v4();
        assert!(join_elsewhere(&stars, 1, replica) && join_elsewhere(&stars, 2, replica));
        stars.leave_elsewhere(&2, replica);
        assert!(stars.is_watched_elsewhere(&1) && !stars.is_watched_elsewhere(&2));
        assert_eq!(wanted(&stars), [1]);
        tokio::time::advance(LEASE / 2).await;
        assert!(!join_elsewhere(&stars, 1, replica), "it only says it again");
        tokio::time::advance(LEASE / 2).await;
        stars.renew();
        assert_eq!(wanted(&stars), [1]);
        tokio::time::advance(LEASE).await;
        stars.renew();
        assert!(wanted(&stars).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_here_needs_no_word_of_others() {
        let stars = Audience::new(None);
        let seat = join(&stars, 1, "alice").unwrap();
        join_elsewhere(&stars, 1, Uuid::new_v4());
        tokio::time::advance(LEASE * 2).await;
        stars.renew();
        assert!(wanted(&stars) == [1] && !stars.is_watched_elsewhere(&1));
        let replica = Uuid::new_v4();
        join_elsewhere(&stars, 1, replica);
        drop(seat);
        assert_eq!(wanted(&stars), [1]);
        stars.leave_elsewhere(&1, replica);
        assert!(wanted(&stars).is_empty());
    }

    #[tokio::test]
    async fn all_that_is_watched_is_repeated_however_much_it_is() {
        let (post, mut letters) = Post::new();
        let stars = Audience::new(Some(post));
        let seats: Vec<_> = (0..200).map(|key| join(&stars, key, &format!("{key}")).unwrap()).collect();
        while letters.try_recv().is_ok() {}
        stars.renew();
        let mut told = BTreeSet::new();
        while told.len() < seats.len() {
            let Letter::WantTelemetry { node, .. } = letters.recv().await.unwrap() else {
                panic!("not wanted")
            };
            told.insert(node);
        }
        assert_eq!(told.len(), 200);
    }

    #[test]
    fn nobody_watches_more_than_their_share() {
        let stars = Audience::new(None);
        let mine: Vec<_> = (0..WATCHERS_EACH).map(|_| join(&stars, 1, "alice").unwrap()).collect();
        let refused = join(&stars, 2, "alice").unwrap_err();
        assert_eq!(refused.to_string(), "you watch 32 stars already; end one of them first");
        assert_eq!(wanted(&stars), [1]);
        assert!(join(&stars, 2, "bob").is_ok());
        drop(mine);
        let many: Vec<_> =
            (0..WATCHERS).map(|number| join(&stars, 1, &format!("{number}")).unwrap()).collect();
        let refused = join(&stars, 2, "alice").unwrap_err();
        assert_eq!(refused.to_string(), "1000 stars are watched already; try again when fewer are");
        drop(many);
        assert!(join(&stars, 2, "alice").is_ok() && wanted(&stars).is_empty());
    }
}
