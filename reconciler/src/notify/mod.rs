//! Telling others: commit statuses on forges, and signed webhooks.
//!
//! What is to be told is written in the transaction that it is about ([`Notice`], the outbox), so that
//! nothing is told that did not happen, and nothing that happened is forgotten. It is told at least
//! once, in the order in which it happened, each target by itself.

mod deliver;
mod notice;
mod request;
mod settings;

pub use deliver::{Deliver, Gone};
pub use notice::{Announcer, Event, Notice, Outcome};
pub use request::{About, Request, request};
pub use settings::{Target, TargetError, TargetKind};
