//! What the crate promises to its neighbours and to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod action;
mod book;
mod calendars;
mod command;
mod conflicts;
mod crowds;
mod describing;
mod findings_schema;
mod fixes;
mod formats;
mod git;
mod hook;
mod incremental;
mod moved;
mod nasty;
mod order;
mod outputs;
mod ownership;
mod pages;
mod plans;
mod ports;
mod positions;
mod published;
mod revisions;
mod schedule;
mod slot;
mod specs;
mod trigger;
mod walking;
mod watching;
