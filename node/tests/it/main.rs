//! What the agent promises, seen from outside: the real binary against a reconciler of the harness.
//!
//! A test makes a [`World`](harness::World): a reconciler that remembers everything, and a state folder. It
//! declares jobs, starts and kills agents, and looks at what the reconciler was told. What the
//! protocol forbids (a gap in the sequence of a run's events, two of them that contradict each other,
//! a file in the wrong place) fails every test, whatever it is about.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod harness;

mod api;
mod busy;
mod cleanup;
mod commands;
mod confinement;
mod connection;
mod crashes;
mod direct;
mod disk;
mod docker;
mod doctor;
mod draining;
mod engine_restarts;
mod heartbeats;
mod housekeeping;
mod images;
mod instructions;
mod jitter;
mod kernel;
mod keygen;
mod length;
mod logs;
mod making_room;
mod migration;
mod missed;
mod network;
mod offline;
mod outputs;
mod points;
mod policy;
mod rebuilt;
mod refused;
mod runs;
mod scavenger;
mod servers;
mod service;
mod shutdown;
mod snapshots;
mod spool;
mod startup;
mod status;
mod tail;
mod telemetry;
mod telemetry_stream;
mod triggers;
mod uploads;
