//! How far what is in force is behind the repository.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How far what is in force is behind the repository.
#[derive(Debug)]
pub struct Revision(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// The last look that succeeded; the start of the program before the first.
    looked: Instant,
    ever: bool,
    /// Since when the head of the branch was seen not to be in force.
    behind: Option<Instant>,
}

impl Default for Revision {
    fn default() -> Self {
        Self(Mutex::new(State { looked: Instant::now(), ever: false, behind: None }))
    }
}

impl Revision {
    /// The repository was looked at, and its head is in force or not.
    pub fn looked(&self, in_force: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let behind = if in_force { None } else { state.behind.or(Some(now)) };
        *state = State { looked: now, ever: true, behind };
    }

    /// How long the head has not been in force.
    pub fn lag(&self) -> Duration {
        self.state().behind.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// How long ago the last look was that succeeded; since the start, if there was none.
    pub fn since_look(&self) -> Duration {
        self.state().looked.elapsed()
    }

    /// Whether the repository was looked at with success since the start.
    pub fn ever_looked(&self) -> bool {
        self.state().ever
    }

    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
