//! The reconciler of an Almanac testbed.

use std::{io::Write, process::ExitCode};

use anyhow::Context;

use almanac_reconciler::{
    causes::chain,
    config::{self, Command, Invocation, ServeSettings, Settings},
    exit::Exit,
    once, redact, serve, telemetry,
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
            start()?.block_on(async {
                let telemetry = telemetry::init(&settings.common.log, settings.otlp_endpoint.as_deref())?;
                let served = async { serve::start(settings).await?.until_signal().await }.await;
                telemetry.end().await;
                served
            })?;
            Ok(Exit::Success)
        }
        Command::SyncOnce => {
            let settings = Settings::resolve(given)?;
            telemetry::init(&settings.log, None)?;
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
