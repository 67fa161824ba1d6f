//! Webhooks: a forge says that somebody pushed, so that nobody waits for the next poll.
//!
//! A delivery is a nudge and nothing else: its content is verified and then not looked at. What a forge
//! knows how to prove is in `forge`, whether it is proven in `signature`; `replays` and `flood` keep
//! what strangers can cause small, and `router` is the shell around them.

mod flood;
mod forge;
mod replays;
mod router;
mod settings;
mod signature;

pub use forge::Forge;
pub use router::Hooks;
pub use settings::WebhookSecrets;
pub use signature::{Proof, Unproven, verify};
