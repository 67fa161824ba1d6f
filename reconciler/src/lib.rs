//! The reconciler: it makes what a Git repository declares the state of a testbed, tells every node
//! its part of it, and keeps what nodes report.
//!
//! `Git -> commit -> tree -> sources -> testbed (checked) -> plan -> store -> desired state per node`
//!
//! Where to start: [`sync`] is one round of this, [`applied`] is its pure core with [`almanac_validate::plan`], and
//! [`services`] is what the outside sees.
//!
//! # Tasks
//!
//! | task | made by | takes | gives | stops |
//! |---|---|---|---|---|
//! | [`follow::Follow`] | [`serve`] | requests for a round (bounded channel), nudges of `notify`, a tick | [`applied::Applied`] and [`follow::LookStatus`] (`watch`) | at `stop`, after its round |
//! | [`heartbeats::Heartbeats::run`] | [`serve`] | what calls put into memory | rows | at `stop`, after a last write |
//! | the server | [`serve`] | connections | answers | at `stop`, when its calls have ended |
//! | the end of health | [`serve`] | | the end of every watch of the health | at `stop` |
//! | one per watching node ([`watch`]) | its call | [`applied::Applied`] (`watch`) | snapshots (bounded channel) | at `stop`, when the agent goes away, when its key is revoked |
//! | the signal task | [`serve`] | SIGTERM, SIGINT | `stop` | with the program |
//!
//! All of them are waited for. What has not ended [`serve::GRACE`] after `stop` is given up.

pub mod applied;
pub mod artifacts;
pub mod auth;
pub mod clock;
pub mod config;
pub mod desired;
pub mod exit;
pub mod follow;
pub mod heartbeats;
pub mod limits;
pub mod occurrences;
pub mod once;
pub mod page;
pub mod plan;
pub mod redact;
pub mod rights;
pub mod run;
pub mod serve;
pub mod services;
pub mod source;
pub mod store;
pub mod sync;
pub mod tls;
pub mod watch;
