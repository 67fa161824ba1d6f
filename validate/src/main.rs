//! `almanac-validate`: checks a folder of manifests.

mod args;
mod exit;

use std::io::{self, Write};

use almanac_validate::{
    check,
    render::{human, json},
    walk,
};
use anyhow::Context;
use chrono::Utc;
use clap::Parser;

use crate::{
    args::{Args, Check, Command, Format},
    exit::Exit,
};

fn main() -> Exit {
    let args = Args::parse();
    let result = match args.command {
        Command::Check(arguments) => run(&arguments),
    };
    result.unwrap_or_else(|error| {
        // There is nobody left to tell when this fails as well.
        let _ = writeln!(anstream::stderr(), "error: {error:#}");
        Exit::CouldNotRun
    })
}

fn run(arguments: &Check) -> anyhow::Result<Exit> {
    let now = arguments.now.map_or_else(Utc::now, |now| now.0);
    let sources = walk(&arguments.path)?;
    let report = check(&sources, now);
    let text = match arguments.format {
        // The stream takes the colours out again where they are not wanted: when it is no terminal,
        // and when `NO_COLOR` is set.
        Format::Human => human::human(&report, &sources, &arguments.root(), human::Style::Coloured),
        Format::Json => json::json(&report, sources.len()),
    };
    match anstream::stdout().write_all(text.as_bytes()) {
        // Who closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write the findings");
        }
        _ => {}
    }
    Ok(Exit::from(&report))
}
