//! `almanac-validate`: checks a folder of manifests.

mod args;
mod command;
mod exit;
#[cfg(test)]
mod reference;

use std::io::Write;

use clap::Parser;

use crate::{args::Args, exit::Exit};

fn main() -> Exit {
    Args::parse().run().unwrap_or_else(|error| {
        // There is nobody left to tell when this fails as well.
        let _ = writeln!(anstream::stderr(), "error: {error:#}");
        Exit::CouldNotRun
    })
}
