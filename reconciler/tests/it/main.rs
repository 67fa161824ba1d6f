//! The reconciler as its peers see it: a real Git repository, a database and a store on disk, and
//! gRPC over a real socket.
//!
//! With [`harness`] the program runs as a process of its own, which may be killed and is told what to
//! do by flags; with [`bed`] its library runs in the test's process, whose tables can be looked at.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

mod applying;
mod bed;
mod chaos;
mod conditions;
mod configuration;
mod crashes;
mod database;
mod desired;
mod drift;
mod fence;
mod files;
mod guard;
mod harness;
mod history;
mod instructions;
mod judged;
mod kernel;
mod limits;
mod listening;
mod live;
mod metrics;
mod migration;
mod moved_pairs;
mod notifications;
mod occurrences;
mod odd_repositories;
mod pages;
mod plan;
mod postgres;
mod redaction;
mod rejected;
mod remotes;
mod repositories;
mod retention;
mod rights;
mod runs;
mod scavenging;
mod server;
mod servers;
mod signatures;
mod startup;
mod steering;
mod stores;
mod surroundings;
mod tail;
mod tls;
mod traces;
mod transfers;
mod webhooks;
