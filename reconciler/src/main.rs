//! The reconciler of an Almanac testbed.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use almanac_reconciler::{
    config::{Cli, Command},
    exit::Exit,
    follow::chain,
    once, serve,
};

fn main() -> ExitCode {
    let exit = run(Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {}", chain(error.as_ref()));
        Exit::CouldNotRun
    });
    exit.into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    match cli.command {
        Command::Serve(flags) => {
            let settings = flags.resolve()?;
            log(&settings.common.log)?;
            runtime.block_on(async { serve::start(settings).await?.until_signal().await })?;
            Ok(Exit::Success)
        }
        Command::Sync(flags) => {
            let settings = flags.common.resolve()?;
            log(&settings.log)?;
            let told = runtime.block_on(once::sync_once(&settings))?;
            std::io::stdout().write_all(told.text.as_bytes()).context("cannot print the plan")?;
            Ok(told.exit)
        }
    }
}

fn log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`--log {filter}` is not a filter"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
