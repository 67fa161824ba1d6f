//! The agent of a node: keeps its schedule, runs its containers and reports every run.
//!
//! # Where to start
//!
//! - The pure cores: [`scheduler`] decides what becomes of each occurrence, [`run`] holds the state
//!   machine of a run, [`container`] describes its container, [`desired`] judges snapshots.
//! - [`journal`] is what makes each instant run once: what is to be done is recorded before it is done.
//! - [`logs`] keeps what runs write, within a bound.
//! - [`agent`] puts everything together; [`dispatcher`] is its centre.
//!
//! # The tasks
//!
//! | task | started by | in | out | stops |
//! |---|---|---|---|---|
//! | dispatcher ([`dispatcher`]) | [`agent`] | snapshots (mpsc) | held state (watch); workers | on the token |
//! | worker, one per run ([`run`]) | dispatcher | | journal; wakes reporter and uploader (notify) | when its run's files are queued; dropped with the dispatcher |
//! | watcher ([`connection`]) | [`agent`] | held state (watch) | snapshots (mpsc); online (watch) | on the token |
//! | heartbeat ([`heartbeat`]) | [`agent`] | held state, online (watch) | | on the token |
//! | reporter ([`report`]) | [`agent`] | outbox in the journal (notify); online (watch) | wakes the uploader | on the token |
//! | uploader ([`upload`]) | [`agent`] | queue in the journal (notify); online (watch) | journal; wakes the reporter | on the token |
//!
//! Each may be cut off at any instant: what it has not journaled is done again at the next start,
//! and everything that is done can be done twice.

pub mod agent;
pub mod artifacts;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod connection;
pub mod container;
pub mod desired;
pub mod dispatcher;
pub mod heartbeat;
pub mod journal;
pub mod keygen;
pub mod link;
pub mod logs;
pub mod report;
pub mod run;
pub mod runtime;
pub mod scheduler;
pub mod settings;
pub mod state_dir;
pub mod upload;
