//! What a node measures about itself: what triggers ask, what runs record, and what people watch.
//!
//! - [`stream`]: what is sent while somebody watches.
//! - [`hub`]: the latest samples of each provider, for whoever wants them.
//! - [`provider`]: what measures something, behind one trait; [`dish`], [`weather`], [`satellites`], [`network`],
//!   [`host`] and [`local`] are the providers.
//! - [`drive`]: one of them, measuring by its own clock, until it is silent.
//! - [`providers`]: the task that has those measure that the node's manifest declares.
//! - [`feed`]: what the reconciler passes on for them, which is kept.
//! - [`anticipation`]: which runs want fresh samples soon.
//! - [`recording`]: `telemetry.csv` of a run.

pub mod anticipation;
pub mod dish;
pub mod drive;
pub mod feed;
pub mod host;
pub mod hub;
pub mod local;
pub mod network;
pub mod provider;
pub mod providers;
pub mod recording;
pub mod satellites;
pub mod standing;
pub mod stream;
pub mod weather;

pub use hub::{Latest, Reading, Telemetry, Wanted};
pub use standing::{Standing, Standings};
