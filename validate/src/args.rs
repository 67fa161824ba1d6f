//! The command line.

use clap::{ColorChoice, Parser, Subcommand};

use crate::{command, exit::Exit};

const AFTER_HELP: &str = "\
Data goes to standard output, everything else to standard error.

Exit codes:
  0  it was done, and what was asked for is right
  1  the manifests have errors, there is no room (slot), or it does not fire (trigger)
  2  it could not be done: wrong arguments, or something that cannot be read or written
  3  something changes (plan)";

/// Checks the manifests of a testbed, and says what they mean.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// When text is coloured.
    ///
    /// With `auto` at a terminal, unless `NO_COLOR` or `CLICOLOR=0` is set.
    #[arg(long, value_name = "WHEN", global = true, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(command::Check),
    Explain(command::Explain),
    Plan(command::Plan),
    Codeowners(command::Codeowners),
    Watch(command::Watch),
    Schedule(command::Schedule),
    Slot(command::Slot),
    Trigger(command::Trigger),
    Schema(command::Schema),
    Completions(command::Completions),
}

impl Args {
    /// Does what was asked for.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let choice = match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        match &self.command {
            Command::Check(check) => check.run(),
            Command::Explain(explain) => explain.run(),
            Command::Plan(plan) => plan.run(),
            Command::Codeowners(codeowners) => codeowners.run(),
            Command::Watch(watch) => watch.run(),
            Command::Schedule(schedule) => schedule.run(),
            Command::Slot(slot) => slot.run(),
            Command::Trigger(trigger) => trigger.run(),
            Command::Schema(schema) => schema.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}
