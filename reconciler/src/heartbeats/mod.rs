//! What nodes say about themselves, and what their silence means.
//!
//! [`Pace`] says how often they are to say it and how long a silence counts for nothing, [`Liveness`] judges
//! a silence, [`said`] puts together what a node says in pieces, and [`Heartbeats`] keeps it.

mod kept;
mod liveness;
mod outlook;
mod pace;
pub mod said;

pub use kept::Heartbeats;
pub use liveness::Liveness;
pub use outlook::{Hindrance, Outlook};
pub use pace::Pace;
pub use said::{Clock, Host};
