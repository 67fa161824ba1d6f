//! The reconciler of an Almanac testbed.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use almanac_reconciler::{
    config::{self, Command, Invocation, LogFormat, LogSettings, ServeSettings, Settings},
    exit::Exit,
    follow::chain,
    once, redact, serve,
};

fn main() -> ExitCode {
    let exit = run(Invocation::read()).unwrap_or_else(|error| {
        eprintln!("error: {}", redact::passwords(&chain(error.as_ref())));
        Exit::CouldNotRun
    });
    exit.into()
}

fn run(Invocation { command, given }: Invocation) -> anyhow::Result<Exit> {
    let print = |text: &str| std::io::stdout().write_all(text.as_bytes()).context("cannot print");
    let start = || tokio::runtime::Runtime::new().context("cannot start");
    match command {
        Command::Serve => {
            let settings = ServeSettings::resolve(given)?;
            log(&settings.common.log)?;
            start()?.block_on(async { serve::start(settings).await?.until_signal().await })?;
            Ok(Exit::Success)
        }
        Command::SyncOnce => {
            let settings = Settings::resolve(given)?;
            log(&settings.log)?;
            let told = start()?.block_on(once::sync_once(&settings))?;
            print(&told.text)?;
            Ok(told.exit)
        }
        Command::ConfigCheck => {
            print(&config::check(given)?)?;
            Ok(Exit::Success)
        }
        Command::ConfigShow(format) => {
            let (text, problems) = config::show(given, format);
            print(&text)?;
            problems.map_or(Ok(Exit::Success), |problems| Err(problems.into()))
        }
    }
}

fn log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).context("`--log` is not a filter")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
    Ok(())
}
