//! An agent that ends with SIGKILL when it comes by a point, as a power cut would end it there: for tests of what
//! the next one finds.
//!
//! `kill_agent_at POINT run ...`, where `POINT` is the number of a point in [`Point::ALL`] and the rest is what
//! `almanac-node` is given.

use anyhow::Context;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use almanac_node::{
    agent,
    cli::{Cli, Command},
    logs::pump,
    point::{Point, Points},
    settings::Settings,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The process runtime starts its own program to keep a log.
    if let Ok(Cli { command: Command::PumpLog(args), .. }) = Cli::try_parse() {
        return Ok(pump::run(args)?);
    }
    let mut arguments = std::env::args();
    let name = arguments.next();
    let point: usize = arguments.next().context("expected POINT run ...")?.parse()?;
    let last = *Point::ALL.get(point).context("there is no such point")?;
    let cli = Cli::try_parse_from(name.into_iter().chain(arguments))?;
    let Command::Run(args) = cli.command else { anyhow::bail!("expected POINT run ...") };
    let points = Points::new(move |point| {
        if point == last {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).expect("one may kill oneself");
        }
    });
    agent::run(Settings::resolve(*args)?, points, CancellationToken::new()).await?;
    Ok(())
}
