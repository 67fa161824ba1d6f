//! The agent's binary.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use almanac_schemas::{Cordon, Duration, Instant, Scavenging};

use almanac_node::{
    agent,
    cli::{
        Cli, Command, CordonArgs, DoctorArgs, OutputForm, RunArgs, Scavenge, ScavengeArgs, StatusArgs, Which,
    },
    clock, doctor, keygen, local,
    logs::pump,
    point::Points,
    settings::{self, Settings},
    state_dir::SOCKET,
    status,
};

/// How long what blocks (packing artifacts) may hold up the end. It is done again at the next start.
const END: time::Duration = time::Duration::from_secs(2);

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
        Command::Cordon(args) => cordon(args, None),
        Command::Drain(args) => cordon(args.cordon, Some(args.deadline)),
        Command::Uncordon(which) => uncordon(which),
        Command::Scavenge(Scavenge::On(args)) => scavenge(args),
        Command::Scavenge(Scavenge::Off(which)) => give_back(which),
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
    let found = one_thread()?.block_on(local::status(&socket(args.which)?))?;
    match args.output {
        OutputForm::Human => print!("{}", status::human(&found)),
        OutputForm::Json => println!("{}", serde_json::to_string_pretty(&found)?),
    }
    Ok(())
}

/// Keeps new runs off this host, and with a deadline stops what runs.
fn cordon(args: CordonArgs, deadline: Option<Duration>) -> anyhow::Result<()> {
    let now = clock::now();
    let after = |length: Duration| Instant(now + length.to_delta());
    if args.length.is_some_and(Duration::is_zero) {
        anyhow::bail!("`--for 0s` would be over at once; leave it out, or give a longer time");
    }
    let cordon = Cordon {
        actor: "the host's owner".to_owned(),
        reason: args.reason.trim().to_owned(),
        since: Instant(now),
        until: args.length.map(after),
        stop_at: deadline.map(after),
    };
    one_thread()?.block_on(local::cordon(&socket(args.which)?, Some(cordon)))?;
    match deadline {
        Some(deadline) if !deadline.is_zero() => {
            println!("no new run starts here, and what still runs in {deadline} is stopped");
        }
        Some(_) => println!("no new run starts here, and what runs is being stopped"),
        None => println!("no new run starts here; what runs goes on"),
    }
    println!("`almanac-node status` shows what runs, `almanac-node uncordon` ends it");
    Ok(())
}

fn uncordon(which: Which) -> anyhow::Result<()> {
    let socket = socket(which)?;
    let left = one_thread()?.block_on(async {
        local::cordon(&socket, None).await?;
        local::status(&socket).await
    })?;
    match left.cordon {
        Some(cordon) => println!("as far as this host is concerned, new runs start; but {cordon}"),
        None => println!("new runs start here"),
    }
    Ok(())
}

/// Takes this host's link from exclusive runs.
fn scavenge(args: ScavengeArgs) -> anyhow::Result<()> {
    let now = clock::now();
    if args.length.is_some_and(Duration::is_zero) {
        anyhow::bail!("`--for 0s` would be over at once; leave it out, or give a longer time");
    }
    let scavenging = Scavenging {
        actor: "the host's owner".to_owned(),
        reason: args.reason.trim().to_owned(),
        since: Instant(now),
        until: args.length.map(|length| Instant(now + length.to_delta())),
    };
    one_thread()?.block_on(local::scavenge(&socket(args.which)?, Some(scavenging)))?;
    println!("exclusive runs are being stopped, and none starts here; others go on");
    println!("`almanac-node status` shows what runs, `almanac-node scavenge off` ends it");
    Ok(())
}

fn give_back(which: Which) -> anyhow::Result<()> {
    let socket = socket(which)?;
    let left = one_thread()?.block_on(async {
        local::scavenge(&socket, None).await?;
        local::status(&socket).await
    })?;
    match left.scavenging {
        Some(scavenging) => {
            println!("as far as this host is concerned, exclusive runs start; but {scavenging}");
        }
        None => println!("exclusive runs start here"),
    }
    Ok(())
}

/// The socket of the agent that is meant.
fn socket(which: Which) -> anyhow::Result<PathBuf> {
    let folder = match which.state_dir {
        Some(folder) => folder,
        None => settings::state_dir(which.config.or_else(settings::usual_config).as_deref())?,
    };
    Ok(folder.join(SOCKET))
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
