//! How far what is in force is behind the repository.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Since when the head of the branch has been seen not to be in force.
#[derive(Debug, Default)]
pub(super) struct Revision(Mutex<Option<Instant>>);

impl Revision {
    /// The repository was looked at, and its head is in force or not.
    pub(super) fn looked(&self, in_force: bool) {
        let mut behind = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *behind = if in_force { None } else { behind.or_else(|| Some(Instant::now())) };
    }

    /// How long the head has not been in force.
    pub(super) fn lag(&self) -> Duration {
        let behind = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        behind.map(|since| since.elapsed()).unwrap_or_default()
    }
}
