//! The command line.

use clap::{ColorChoice, Parser, Subcommand};

use crate::{
    command,
    exit::{EXIT_CODES, Exit},
};

/// Checks a folder of Almanac manifests and says everything that is wrong with it.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// When text is coloured: by default where it is read at a terminal and neither `NO_COLOR` nor
    /// `CLICOLOR=0` is set.
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
            Command::Schema(schema) => schema.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}
