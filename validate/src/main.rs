//! `almanac-validate`: checks a folder of manifests.

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
