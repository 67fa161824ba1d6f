//! The reconciler as its peers see it: the real program as a process of its own, a real Git
//! repository, a database and a store on disk, and gRPC over a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod applying;
mod desired;
mod harness;
mod history;
mod listening;
mod occurrences;
mod rejected;
mod rights;
mod runs;
mod startup;
mod transfers;
