//! One round of reconciling: look at the branch, read its commit, check it, plan, and apply it or
//! record what is wrong with it.
//!
//! A round takes no input but the repository and the database. Running it twice is running it once.

mod drift;
mod look;
mod round;
mod settle;

pub use round::{News, Reconciler, Round, RoundError};
