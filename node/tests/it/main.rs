//! The agent against a reconciler that only remembers, and its parts against real files, processes
//! and engines.

mod agent;
mod docker;
mod fake;
mod keygen;
mod kill;
mod upload;
