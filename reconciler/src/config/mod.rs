//! The configuration: flags, then the environment, then a file. It is read completely before
//! anything is opened or bound, and everything that is wrong with it is said at once.
//!
//! A setting is a line of [`SETTINGS`]: the command line, the environment's names, the keys of the
//! file, `config show` and the help follow from it. What has no flag is a table of the file, such as
//! `[limits]`; the module that it belongs to brings its type (see [`Sources::table`]).

mod cli;
mod file;
mod problem;
mod report;
mod setting;
mod settings;
mod sources;

pub use cli::{Command, Format, Invocation};
pub use problem::{Problem, Problems};
pub use report::{check, show};
pub use setting::{SETTINGS, Scope, Setting};
pub use settings::{LogFormat, LogSettings, ServeSettings, Settings};
pub use sources::{Origin, Sources, Value};
