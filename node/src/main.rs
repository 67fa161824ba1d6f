//! The agent's binary.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use almanac_node::{
    agent,
    cli::{Cli, Command, RunArgs},
    keygen,
    logs::pump,
    settings::Settings,
};

/// How long what blocks (packing artifacts) may hold up the end. It is done again at the next start.
const END: Duration = Duration::from_secs(2);

/// The exit code where something that is needed is wrong or missing, as for a wrong option.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Keygen(args) => keygen::run(&args).map_err(Into::into),
        Command::PumpLog(args) => pump::run(args).map_err(Into::into),
        Command::Run(args) => run(&cli.log, *args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn run(log: &str, args: RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(log).with_context(|| format!("`--log {log}` is not a filter"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let settings = Settings::resolve(args)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the asynchronous runtime")?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let told = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                // Cancel-safe: a signal is not consumed by waiting for the other.
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        });
        agent::run(settings, stop).await.map_err(anyhow::Error::from)
    });
    runtime.shutdown_timeout(END);
    ended
}
