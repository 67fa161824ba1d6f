//! The `almanac` command: what people type to look at a testbed.
//!
//! It has no rules of its own: every command asks the reconciler and shows the answer. [`run`] is one
//! call of the program; the current instant, the terminal and the folders are arguments
//! ([`World`]), so that tests repeat it exactly.
//!
//! - [`args`]: what may be typed; [`settings`]: what is configured elsewhere.
//! - [`call`]: the connection, and what its failures mean; [`pages`]: lists that come in pages.
//! - [`command`]: one module per command; [`view`]: one per thing that is shown, as a table and as JSON.
//! - [`download`], [`fetch`] and [`extract`]: files of runs; [`log`](mod@log): what they write.
//! - [`record`]: a run as a row; [`export`]: tables of them.
//! - [`exit`]: exit codes; [`reference`](mod@reference): the text of `docs/cli.md`.
//!
//! There are no long-lived tasks: a call runs to its end, and an interrupt ends the process at once.
//! A download that is cut off so leaves a `.part` file, which the next one continues.

pub mod args;
pub mod call;
pub mod command;
pub mod download;
pub mod exit;
pub mod export;
pub mod extract;
pub mod failure;
pub mod fetch;
pub mod invocation;
pub mod log;
pub mod output;
pub mod pages;
pub mod record;
pub mod reference;
pub mod relative;
pub mod settings;
pub mod table;
pub mod view;

pub use exit::Exit;
pub use invocation::{World, run};
pub use settings::Folders;
pub use table::Style;
