//! The `almanac` command.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::Context;

use almanac_cli::{Folders, Style, World};

fn main() -> anyhow::Result<ExitCode> {
    let world = World {
        now: chrono::Utc::now(),
        folders: Folders {
            home: env::home_dir(),
            config_home: env::var_os("XDG_CONFIG_HOME").map(Into::into),
        },
        style: style(),
        progress: io::stderr().is_terminal(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (mut out, mut err) = (io::BufWriter::new(io::stdout()), io::stderr());
    let exit = runtime.block_on(almanac_cli::run(env::args_os(), &world, &mut out, &mut err));
    // A flush that fails has nobody left to tell.
    let _ = io::Write::flush(&mut out);
    Ok(exit.into())
}

/// Lines are cut to the terminal; in a pipe they are whole.
fn style() -> Style {
    if !io::stdout().is_terminal() {
        return Style { width: None, colour: false };
    }
    // NO_COLOR counts when it is set and not empty (no-color.org).
    let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Style { width: comfy_table::Table::new().width().map(usize::from), colour }
}
