//! `almanac-validate completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::print::print;
use crate::{args::Args, exit::Exit};

/// Print a script that completes commands in a shell.
///
/// For example: almanac-validate completions bash > ~/.local/share/bash-completion/completions/almanac-validate
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
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
