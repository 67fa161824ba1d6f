//! The agent against a reconciler that only remembers, and its parts against real files, processes
//! and engines.

mod agent;
mod fake;
mod journal;
mod kill;
mod keygen;
mod process;
mod docker;
mod upload;
