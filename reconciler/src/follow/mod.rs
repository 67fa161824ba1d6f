//! The task that runs rounds: at an interval, when the repository changed, when somebody asks, and for
//! as long as this reconciler leads.
//!
//! [`Follow`] waits for whatever comes first, `round` looks and keeps how that went, `standby` does what is to be
//! done where another one leads, and [`Follower`] is the end that others hold.

mod asking;
mod intervals;
mod round;
mod standby;
mod task;

pub use asking::{ASKING, Answer, AskError, Follower, Found, Looked};
pub use intervals::{Intervals, STALE_AFTER};
pub use task::{Follow, Parts};
