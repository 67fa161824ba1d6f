//! The agent's binary.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use almanac_node::{
    agent,
    cli::{Cli, Command, DoctorArgs, OutputForm, RunArgs, StatusArgs},
    doctor, keygen, local,
    logs::pump,
    point::Points,
    settings::{self, Settings},
    state_dir::SOCKET,
    status,
};

/// How long what blocks (packing artifacts) may hold up the end. It is done again at the next start.
const END: Duration = Duration::from_secs(2);

/// The exit code where something that is needed is wrong or missing, as for a wrong option.
const COULD_NOT_RUN: u8 = 2;

/// The exit code where `doctor` found something that keeps an agent from running.
const PROBLEM: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Keygen(args) => keygen::run(&args).map_err(Into::into),
        Command::PumpLog(args) => pump::run(args).map_err(Into::into),
        Command::Run(args) => run(&cli.log, *args),
        Command::Status(args) => status(args),
        Command::Doctor(args) => match doctor(*args) {
            Ok(false) => return ExitCode::from(PROBLEM),
            done => done.map(drop),
        },
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
        agent::run(settings, Points::default(), stop).await.map_err(anyhow::Error::from)
    });
    runtime.shutdown_timeout(END);
    ended
}

fn status(args: StatusArgs) -> anyhow::Result<()> {
    let folder = match args.state_dir {
        Some(folder) => folder,
        None => settings::state_dir(args.config.or_else(settings::usual_config).as_deref())?,
    };
    let found = one_thread()?.block_on(local::status(&folder.join(SOCKET)))?;
    match args.output {
        OutputForm::Human => print!("{}", status::human(&found)),
        OutputForm::Json => println!("{}", serde_json::to_string_pretty(&found)?),
    }
    Ok(())
}

/// Whether an agent would run here.
fn doctor(args: DoctorArgs) -> anyhow::Result<bool> {
    let run = RunArgs { config: args.run.config.or_else(settings::usual_config), ..args.run };
    let findings = one_thread()?.block_on(doctor::examine(run));
    match args.output {
        OutputForm::Human => print!("{}", doctor::human(&findings)),
        OutputForm::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
    }
    Ok(doctor::is_well(&findings))
}

fn one_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("cannot start the asynchronous runtime")
}
