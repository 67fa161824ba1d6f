//! What the tests of this binary share. [`Testbed`] is where to start.

pub(crate) mod git_https;
pub(crate) mod manifest;
mod mount;
mod process;
mod proxy;
mod reports;
mod repository;
mod sshd;
mod testbed;
mod tool;

pub(crate) use git_https::GitHttps;
pub(crate) use mount::Mount;
pub(crate) use process::{Daemon, Ended, wait_for};
pub(crate) use proxy::{Network, Proxy};
pub(crate) use reports::{event, instant, run_id, whole_run};
pub(crate) use repository::Repository;
pub(crate) use sshd::Sshd;
pub(crate) use testbed::Testbed;
pub(crate) use tool::tool;
