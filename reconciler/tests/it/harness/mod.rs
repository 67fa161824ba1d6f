//! What the tests of this binary share. [`Testbed`] is where to start.

mod certificate;
pub(crate) mod manifest;
mod mount;
mod process;
mod reports;
mod repository;
mod testbed;

pub(crate) use certificate::Certificate;
pub(crate) use mount::Mount;
pub(crate) use process::{Daemon, Ended, wait_for};
pub(crate) use reports::{event, instant, run_id, whole_run};
pub(crate) use repository::Repository;
pub(crate) use testbed::Testbed;
