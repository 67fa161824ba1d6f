//! One call of the program, from what was typed to the exit code.

use std::{ffi::OsString, io::Write};

use chrono::{DateTime, Utc};
use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    args::{Cli, Command},
    call::Caller,
    command,
    exit::Exit,
    failure::Failure,
    output::{Look, Output},
    settings::{File, Folders, Given, Settings},
    table::Style,
};

/// What a command depends on apart from what was typed.
#[derive(Debug, Clone)]
pub struct World {
    /// The current instant.
    pub now: DateTime<Utc>,
    /// Where settings and keys are.
    pub folders: Folders,
    /// How tables are drawn.
    pub style: Style,
    /// Whether progress is drawn on standard error.
    pub progress: bool,
}

/// Carries out what was typed.
pub async fn run(
    typed: impl IntoIterator<Item = OsString>,
    world: &World,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let cli = match Cli::try_parse_from(typed) {
        Ok(cli) => cli,
        Err(error) => return refuse(error, world.style.colour, out, err),
    };
    let (given, command) = cli.split();
    let look = Look { now: world.now, style: world.style };
    let mut output = Output { format: given.output.unwrap_or_default(), look, out, err };
    match carry_out(given, command, world, &mut output).await {
        Ok(()) => Exit::Done,
        Err(failure) => {
            failure.tell(&mut output);
            failure.exit()
        }
    }
}

async fn carry_out(
    given: Given,
    command: Command,
    world: &World,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    // It needs neither settings nor a reconciler.
    if let Command::Completions { shell } = command {
        return Ok(command::completions(shell, output.out)?);
    }
    let file = File::read(given.config.as_deref(), &world.folders)?;
    output.format = given.output.or(file.output()).unwrap_or_default();
    let settings = Settings::resolve(given, file, &world.folders)?;
    let caller = Caller::new(&settings)?;
    command::run(command, &caller, world, output).await?;
    Ok(output.out.flush()?)
}

/// Says what is wrong with what was typed, or what could be.
fn refuse<'a>(error: clap::Error, colour: bool, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Exit {
    let (to, exit) = if error.use_stderr() { (err, Exit::Usage) } else { (out, Exit::Done) };
    let text = explain(error).render();
    let text = if colour { text.ansi().to_string() } else { text.to_string() };
    // Where nobody reads there is nobody to tell.
    let _ = to.write_all(text.as_bytes());
    exit
}

/// The option that says who asks is also a filter, and is easily put in the wrong place.
fn explain(mut error: clap::Error) -> clap::Error {
    let argument = error.get(ContextKind::InvalidArg);
    if error.kind() == ErrorKind::UnknownArgument
        && matches!(argument, Some(ContextValue::String(name)) if name == "--user")
    {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
        let tip = "who you are goes before the command: `almanac --user NAME ...`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}
