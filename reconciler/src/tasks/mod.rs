//! Pairs of a client and a server: what clients want of servers, told to both sides the moment it changes.
//!
//! A [`Task`] lives in the database, so that a restart ends no pair, and the agents of a pair may be connected to
//! different reconcilers. [`Tasks`] keeps the living ones in memory for the streams of both.

mod board;
mod peers;
mod task;

pub use board::Tasks;
pub use peers::{Peers, address};
pub use task::{News, RequestError, Task, TaskState};
