//! `almanac-validate completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::print::print;
use crate::{args::Args, exit::Exit};

const AFTER_HELP: &str = "\
Examples:
  almanac-validate completions bash >~/.local/share/bash-completion/completions/almanac-validate
  almanac-validate completions fish >~/.config/fish/completions/almanac-validate.fish

Exit codes:
  0  it was printed
  2  the command could not be run";

/// Print a script that completes commands in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        // `generate` panics when its writer fails, as it does into a pipe that is closed.
        let mut script = Vec::new();
        generate(self.shell, &mut Args::command(), "almanac-validate", &mut script);
        print(|out| out.write_all(&script))?;
        Ok(Exit::Clean)
    }
}
