//! What the tests of this binary share. [`Testbed`] is where to start.

mod certificate;
mod database;
pub(crate) mod git_https;
mod heart;
mod looked;
pub(crate) mod manifest;
mod mount;
mod process;
mod proxy;
mod replica;
mod reports;
mod repository;
mod server;
mod ssh_agent;
mod sshd;
mod testbed;
mod tool;
mod wire;

pub(crate) use certificate::Certificate;
pub(crate) use database::Database;
pub(crate) use git_https::GitHttps;
pub(crate) use heart::{Heart, beat};
pub(crate) use looked::Looked;
pub(crate) use mount::Mount;
pub(crate) use process::{Daemon, Ended, wait_for};
pub(crate) use proxy::{Network, Proxy};
pub(crate) use replica::{Replica, next};
pub(crate) use reports::{event, instant, run_id, whole_run};
pub(crate) use repository::Repository;
pub(crate) use server::Server;
pub(crate) use ssh_agent::SshAgent;
pub(crate) use sshd::Sshd;
pub(crate) use testbed::Testbed;
pub(crate) use tool::tool;
pub(crate) use wire::Wire;
