//! The socket of each run: `/almanac/api.sock`, HTTP over a Unix socket, which its container alone sees.
//!
//! Who speaks is known by the socket: there is no name and no token, and nothing to spoof. What comes from there is a
//! stranger's all the same, so that everything is bounded.
//!
//! - `serve`: connections, and what they may take.
//! - `asked`: what a path asks for.
//! - `desk`: what a run is answered from. `answer`: the answers.

mod answer;
mod asked;
mod desk;
mod serve;

pub use desk::Desk;
pub use serve::{Serving, serve};

/// The name of the socket in its folder.
pub const SOCKET: &str = "api.sock";

#[cfg(test)]
mod tests;
