//! What the tests of this binary share. [`Testbed`] is where to start.

mod database;
pub(crate) mod manifest;
mod mount;
mod process;
mod proxy;
mod replica;
mod reports;
mod repository;
mod server;
mod testbed;

pub(crate) use database::Database;
pub(crate) use mount::Mount;
pub(crate) use process::{Daemon, Ended, wait_for};
pub(crate) use proxy::Proxy;
pub(crate) use replica::{Replica, next};
pub(crate) use reports::{event, instant, run_id, whole_run};
pub(crate) use repository::Repository;
pub(crate) use server::Server;
pub(crate) use testbed::Testbed;
