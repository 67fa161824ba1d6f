//! What a node measures about itself: what triggers ask, what runs record, and what people watch.
//!
//! - [`hub`]: the latest samples of each provider, for whoever wants them.

pub mod hub;

pub use hub::{Latest, Reading, Telemetry, Wanted};
