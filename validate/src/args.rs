//! The command line.

use std::path::{Path, PathBuf};

use almanac_schemas::Instant;
use clap::{Parser, Subcommand, ValueEnum};

/// Checks a folder of Almanac manifests and says everything that is wrong with it.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing was found, or warnings alone
  1  at least one error was found
  2  the check could not be run";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(Check),
}

/// Check all manifests below a folder.
///
/// Every `*.yaml` and `*.yml` is a manifest, whatever its folder. Hidden files and folders are passed
/// over, and so is what `.almanacignore` lists, in the syntax of `.gitignore`. Nothing is changed, and
/// nothing in the folder is ever run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    /// The folder.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,

    /// How findings are written.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,

    /// Take this instant for the present, so that a check can be repeated: only what happens from then
    /// on counts. RFC 3339 with an offset, such as 2027-01-10T12:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    pub(crate) now: Option<Instant>,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With code frames, for people.
    Human,
    /// As one JSON document, for programs (schemas/json/findings.json).
    Json,
}

impl Check {
    /// What paths are shown below: nothing for the present folder.
    pub(crate) fn root(&self) -> PathBuf {
        if self.path == Path::new(".") { PathBuf::new() } else { self.path.clone() }
    }
}
