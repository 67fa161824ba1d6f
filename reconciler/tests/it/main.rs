//! The reconciler as its peers see it: a real repository, a database on disk, a server on loopback.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

mod bed;
mod calls;
mod commits;
mod database;
mod lists;
mod plan;
mod reports;
mod repositories;
mod server;
mod uploads;
