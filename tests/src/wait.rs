//! Waiting for something to become true.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until a condition yields a value, and returns it.
///
/// # Panics
///
/// When it has not within `limit`. The limit is generous: it only bounds how long a broken test
/// takes to fail.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks at the condition")]
        thread::sleep(INTERVAL);
    }
}
