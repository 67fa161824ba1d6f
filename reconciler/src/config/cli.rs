//! The command line, made from the list of settings.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, builder::PossibleValuesParser, parser::ValueSource};

use super::{
    setting::{SETTINGS, Scope},
    sources::{Given, Origin, Value},
};

/// What was asked for.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The settings that flags and the environment give, and the name of the file.
    pub given: Given,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Follow the repository and serve.
    Serve,
    /// One round.
    SyncOnce,
    /// Say what is wrong with the configuration.
    ConfigCheck,
    /// Show the settings and where they come from.
    ConfigShow(Format),
}

/// How `config show` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people.
    Text,
    /// JSON for programs.
    Json,
}

impl Invocation {
    /// Reads the command line of this program; ends it when that is wrong or asks for help.
    pub fn read() -> Self {
        Self::try_read(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// When it is wrong, or asks for help.
    pub fn try_read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = program().try_get_matches_from(arguments)?;
        let (command, flags) = match matches.subcommand() {
            Some(("serve", flags)) => (Command::Serve, flags),
            Some(("sync", flags)) => (Command::SyncOnce, flags),
            Some(("config", inner)) => match inner.subcommand() {
                Some(("show", flags)) => {
                    let json = flags.get_one::<String>("format").is_some_and(|format| format == "json");
                    (Command::ConfigShow(if json { Format::Json } else { Format::Text }), flags)
                }
                Some((_, flags)) => (Command::ConfigCheck, flags),
                None => (Command::ConfigCheck, inner),
            },
            _ => (Command::Serve, &matches),
        };
        Ok(Self { command, given: given(flags) })
    }
}

/// The command line of the program.
fn program() -> clap::Command {
    clap::Command::new("almanac-reconciler")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The reconciler of an Almanac testbed")
        .after_help(
            "A setting is taken from the flag, else from the environment, else from the file of `--config`.\n\
             Exit codes: 0 it did what it was asked; 1 `sync --once` did not put the commit in force, since it has errors,\n\
             waits for an approval, or the syncs are suspended; 2 it could not run.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            clap::Command::new("serve")
                .about("Follow the repository and serve the testbed until SIGTERM or SIGINT"),
            Scope::Serve,
        ))
        .subcommand(with_settings(
            clap::Command::new("sync")
                .about("Look at the repository once, put its commit in force or print what is wrong with it, and end")
                .arg(
                    Arg::new("once")
                        .long("once")
                        .action(ArgAction::SetTrue)
                        .required(true)
                        .help("One round. It is required, since `serve` is what goes on"),
                ),
            Scope::Common,
        ))
        .subcommand(
            clap::Command::new("config")
                .about("Check the configuration, or show it")
                .subcommand_required(true)
                .subcommand(with_settings(
                    clap::Command::new("check").about("Say everything that is wrong with the settings of `serve`"),
                    Scope::Serve,
                ))
                .subcommand(with_settings(
                    clap::Command::new("show")
                        .about("Show each setting of `serve`, and where it comes from; passwords are left out")
                        .arg(
                            Arg::new("format")
                                .long("format")
                                .value_name("text|json")
                                .value_parser(PossibleValuesParser::new(["text", "json"]))
                                .default_value("text")
                                .help("How it is printed"),
                        ),
                    Scope::Serve,
                )),
        )
}

fn with_settings(command: clap::Command, scope: Scope) -> clap::Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("ALMANAC_RECONCILER_CONFIG")
        .value_parser(clap::value_parser!(PathBuf))
        .hide_env_values(true)
        .help(
            "A TOML file with any of these settings, named as the flags are, and with the tables [limits], \
             [[trusted-keys]] and [[notify]]",
        );
    let settings = SETTINGS.iter().filter(|setting| scope == Scope::Serve || setting.scope == scope);
    let arguments = settings.map(|setting| {
        let help = match setting.default {
            Some(default) => format!("{} [default: {default}]", setting.help),
            None => setting.help.to_owned(),
        };
        let argument = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .env(setting.variable)
            // An address may hold a password.
            .hide_env_values(true)
            .help(help);
        if setting.value == "true|false" {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true")
        } else {
            argument
        }
    });
    command.args_override_self(true).args(arguments).arg(file)
}

/// What flags and the environment give. A variable that is set to nothing gives nothing.
fn given(matches: &ArgMatches) -> Given {
    let mut given = Given { file: matches.get_one("config").cloned(), ..Given::default() };
    for setting in SETTINGS {
        // A command that does not know the setting has no value of it.
        let Ok(Some(text)) = matches.try_get_one::<String>(setting.name) else { continue };
        let origin = match matches.value_source(setting.name) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            _ => Origin::Environment(setting.variable),
        };
        if origin == Origin::Flag || !text.is_empty() {
            given.values.insert(setting.name, Value { text: text.clone(), origin });
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_that_clap_accepts() {
        program().debug_assert();
        let read = |arguments: &[&str]| {
            Invocation::try_read(["almanac-reconciler"].iter().chain(arguments)).map(|read| read.command)
        };
        assert_eq!(read(&["serve"]).unwrap(), Command::Serve);
        assert_eq!(read(&["config", "show", "--format", "json"]).unwrap(), Command::ConfigShow(Format::Json));
        assert_eq!(read(&["config", "check"]).unwrap(), Command::ConfigCheck);
        assert!(read(&["sync"]).is_err(), "without --once");
        assert!(read(&["sync", "--once", "--listen", "127.0.0.1:1"]).is_err(), "a flag of serve");
    }
}
