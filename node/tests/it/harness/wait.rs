//! Waiting for something to become true.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what should take a second or two. It only bounds how long a broken
/// test takes to fail.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Waits until a condition yields a value, and returns it.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for {what}");
        pause(Duration::from_millis(10));
    }
}

/// Lets time pass: between two looks at a condition, or until a random instant.
#[expect(clippy::disallowed_methods, reason = "the one place where tests let time pass")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}
