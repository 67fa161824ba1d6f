//! `almanac completions SHELL`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Cli;

/// Writes a script that completes commands in a shell.
///
/// # Errors
///
/// When standard output does not take it.
pub fn write(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // `generate` panics when its writer fails, as it does into a pipe that is closed.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "almanac", &mut script);
    out.write_all(&script)
}
