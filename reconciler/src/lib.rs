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
//! | [`lead::Lead`] | [`serve`] | the lock of the leader | [`lead::Leadership`] (`watch`) | at `stop`, giving the lock back |
//! | [`hear::listen`] | [`serve`] | what other reconcilers say | [`hear::Ears`], and in the [`store::Store`] whether the database is away | at `stop` |
//! | [`follow::Follow`] | [`serve`] | requests for a round (bounded channel), nudges of `notify`, of [`webhooks`] and of other reconcilers, who leads, [`surroundings::Surroundings`], a tick, which after failures is a [backoff](backoff::Backoff) | [`applied::Applied`] and [`store::LookRow`] (`watch`) | at `stop`, after its round |
//! | [`notify::Deliver`] | [`serve`] | the outbox | requests to forges and webhooks | at `stop`; what was not told is told later |
//! | [`retention::Retention`] | [`serve`] | a tick, [`applied::Applied`] (`watch`), who leads | stores without the files whose time is over, and records of that; a staging folder without what nobody goes on with | at `stop`; what it was at is done again |
//! | [`surroundings::Fetching`] | [`serve`] | what services answer, files, [`applied::Applied`] (`watch`), who leads, what other reconcilers say | [`surroundings::Surroundings`] (`watch`), and rows where it leads | at `stop`; what it was at is fetched again |
//! | [`heartbeats::Heartbeats::run`] | [`serve`] | what calls put into memory, [`applied::Applied`] (`watch`) | rows | at `stop`, after a last write |
//! | [`tasks::Tasks::run`] | [`serve`] | a tick, [`hear::Ears`], [`applied::Applied`] (`watch`), what nodes report of themselves | the end of tasks with a silent side; hints to the streams of nodes and clients | at `stop` |
//! | one per server that a client wants ([`services`]) | the call of the client | the task (`watch`) | how the server stands (bounded channel); that the client is there | when the task is over, its client goes away or calls anew, its key is revoked, at `stop` |
//! | [`connections::Connections::run`] | [`serve`] | connections | answers, by a task for each connection | at `stop`, when its calls have ended, or after 5 s |
//! | [`tls::Certificate::follow`], with TLS | [`serve`] | a tick, the certificate's files | the certificate that is served | at `stop` |
//! | [`routes::end_health`] | [`serve`] | | the end of every watch of the health | at `stop` |
//! | one per watching node ([`watch`]) | its call | [`applied::Applied`] (`watch`) | snapshots (bounded channel) | at `stop`, when the agent goes away, when newer streams take its place, when its key is revoked |
//! | one per log that is watched, and one per watcher ([`logs`]) | the call of a watcher | pieces, from its node's stream, from another reconciler or from the store | lines (bounded channels) | when nobody watches any more, at `stop` |
//! | one per watcher of what a node measures ([`live`]) | the call of a watcher | readings of its node's stream, or of another reconciler (`broadcast`, the oldest go) | readings (bounded channel) | at `stop`, when the watcher goes away or may not watch any more |
//! | [`logs::post::send`], [`logs::post::receive`] | [`serve`] | letters about logs and readings (bounded channels) | letters to other reconcilers; answers | at `stop` |
//! | the signal task | [`serve`] | SIGTERM, SIGINT | `stop` | with the program |
//!
//! All of them are waited for. What has not ended [`serve::GRACE`] after `stop` is given up.

pub mod applied;
pub mod artifacts;
pub mod audience;
pub mod auth;
pub mod backoff;
pub mod causes;
pub mod clock;
pub mod conditions;
pub mod config;
pub mod connections;
pub mod data;
pub mod desired;
pub mod exit;
pub mod follow;
pub mod health;
pub mod hear;
pub mod heartbeats;
pub mod hex;
pub mod instructions;
pub mod intent;
pub mod lead;
pub mod limits;
pub mod live;
pub mod logs;
pub mod metrics;
pub mod moves;
pub mod notify;
pub mod occurrences;
pub mod once;
pub mod page;
pub mod plan;
pub mod prune;
pub mod redact;
pub mod request;
pub mod retention;
pub mod rights;
pub mod routes;
pub mod run;
pub mod secret;
pub mod serve;
pub mod services;
pub mod signatures;
pub mod source;
pub mod step;
pub mod store;
pub mod surroundings;
pub mod sync;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod watch;
pub mod webhooks;
