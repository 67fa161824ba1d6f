//! `almanac-validate`: checks the manifests of a testbed, and says what they mean.
//!
//! Each command is a module under `command`: it reads, calls the library, prints and ends. `watch` alone lives
//! long, with two threads besides the main one. That of `notify` hears of changes and ends when the folder is no
//! longer watched; `signals` waits for SIGINT and SIGTERM and ends with the program. Both tell the main thread
//! through one bounded channel.

mod args;
mod command;
mod exit;
#[cfg(test)]
mod reference;

use clap::Parser;

use crate::{args::Args, exit::Exit};

fn main() -> Exit {
    Args::parse().run().unwrap_or_else(|error| {
        command::say(&format!("error: {error:#}"));
        Exit::CouldNotRun
    })
}
