//! Runs: what is ordered, where it stands, and the worker that carries it out.

mod deploy;
mod facts;
mod order;
mod paired;
mod state;
mod trigger;
mod waiting;
mod watching;
mod worker;

pub use order::{Order, Peer, RunKey};
pub use state::{Collected, Exit, Interruption, Observation, Outcome, State, Step, Transition, omitted};
pub use worker::{Interrupted, Tools, carry_out, prepare, withdraw};
