//! The command as people and programs meet it, against a reconciler with fixed answers.

#![expect(clippy::unwrap_used, reason = "a test whose set-up fails has failed")]

mod direct;
mod downloads;
mod failures;
mod help;
mod index;
mod output;
mod pairs;
mod reconciler;
mod settings;
mod store;
mod typed;
