//! One module per command: each asks the reconciler, and hands the answer to the output.

mod completions;
mod download;
mod export;
mod history;
mod jobs;
mod logs;
mod nodes;
mod run_pages;
mod runs;
mod schedule;
mod sync;
mod telemetry;
mod users;
mod whoami;

pub use completions::write as completions;

use crate::{args::Command, call::Caller, failure::Failure, invocation::World, output::Output};

/// Carries out a command that asks the reconciler.
///
/// # Errors
///
/// When it does not do what was asked.
pub async fn run(
    command: Command,
    caller: &Caller,
    world: &World,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        Command::Nodes(command) => nodes::run(command, caller, output).await,
        Command::Jobs(command) => jobs::run(command, caller, output).await,
        Command::Users(command) => users::run(command, caller, output).await,
        Command::Runs(command) => runs::run(command, caller, world, output).await,
        Command::Schedule(command) => schedule::run(command, caller, output).await,
        Command::Sync(command) => sync::run(command, caller, output).await,
        Command::Whoami => whoami::run(caller, output).await,
        Command::Completions { shell } => Ok(completions(shell, output.out)?),
    }
}

/// A filter as the protocol writes it: empty matches everything.
fn filter(name: Option<&impl std::fmt::Display>) -> String {
    name.map(ToString::to_string).unwrap_or_default()
}
