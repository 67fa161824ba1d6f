//! The manifests of an Almanac testbed and what they mean.
//!
//! Everything here is a plain value: no I/O, no clock, nothing asynchronous. A function that
//! needs the current instant takes it as an argument.
//!
//! - [`manifest`] is where to start: the four kinds of document and how YAML becomes one of them.
//! - [`user`], [`node`], [`job`], [`config`]: one module per kind, field by field.
//! - [`schedule`]: what a job's schedule means, as instants; [`cron`] is the expression in it, and
//!   [`timetable`] computes the instants.
//! - [`trigger`]: what a trigger means, over what a node measured.
//! - [`kernel`]: which kernel settings there are, and what a node's list allows.
//! - [`run`]: run ids, phases and reasons.
//! - [`clock_offset`]: by how much a node's clock is off, and when that is too much.
//! - [`when`]: instants as people type them, `-2h` and `today` among them.
//! - [`json_schema`]: the JSON Schemas that are checked in under `schemas/json/`.

mod text;

pub mod clock_offset;
pub mod config;
pub mod container;
mod cordon;
pub mod cron;
pub mod duration;
pub mod instant;
pub mod job;
pub mod json_schema;
pub mod kernel;
pub mod key;
pub mod manifest;
pub mod name;
pub mod node;
pub mod run;
pub mod scavenging;
pub mod schedule;
pub mod secret;
pub mod size;
pub mod store_credentials;
pub mod timetable;
pub mod timezone;
pub mod trigger;
pub mod user;
pub mod when;

pub use clock_offset::ClockOffset;
pub use config::Config;
pub use cordon::Cordon;
pub use cron::Cron;
pub use duration::Duration;
pub use instant::Instant;
pub use job::{Job, JobSpec};
pub use key::{KeyError, PublicKey};
pub use manifest::{Kind, Manifest};
pub use name::{JobName, NodeName, PrincipalName, TeamName, UserName};
pub use node::{Node, NodeSpec};
pub use run::{Phase, Reason, RunId, RunRole};
pub use scavenging::Scavenging;
pub use schedule::{Occurrence, Schedule};
pub use size::Size;
pub use timetable::Timetable;
pub use timezone::Timezone;
pub use user::{User, UserRole, UserSpec};
pub use when::When;
