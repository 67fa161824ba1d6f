//! What runs containers, behind one trait.
//!
//! A container is known by its name alone, which follows from the run. So an agent that was killed
//! at any instant finds the container again, and nothing has to be remembered for that.

mod docker;
mod process;
mod remains;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use thiserror::Error;

use almanac_schemas::container::Image;

use crate::{
    container::{ContainerName, ContainerSpec, View},
    images::PullError,
    logs::{LogFiles, Reading},
    run::{Exit, RunKey},
    telemetry::network::Usage,
};

pub use docker::{Abilities, Docker};
pub use process::Process;

/// How long a container may take to end after SIGTERM before it gets SIGKILL.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// The same of one that fills the disk, and would go on with that meanwhile.
pub const SHORT_GRACE: Duration = Duration::from_secs(1);

/// An engine that runs containers.
pub trait Runtime: Send + Sync + 'static {
    /// The engine and its version, for people, such as `docker 28.2.2`.
    fn describe(&self) -> BoxFuture<'_, Result<String, RuntimeError>>;

    /// Whether a run sees its files through mounts.
    fn view(&self) -> View;

    /// Gets an image if it is not there, and returns its digest if it has one.
    fn prepare<'a>(&'a self, image: &'a Image) -> BoxFuture<'a, Result<Option<String>, PrepareError>>;

    /// Makes a container. One of that name that exists already is taken for it.
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Gets a container so far that nothing is left to do but to let its command begin. It can be called again,
    /// after it was cut off and after a restart of the agent.
    fn hold<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Lets the command of a held container begin, and says when it did.
    fn release<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<DateTime<Utc>, RuntimeError>>;

    /// What a container is doing; `None` when there is none of that name.
    fn inspect<'a>(
        &'a self,
        name: &'a ContainerName,
    ) -> BoxFuture<'a, Result<Option<Condition>, RuntimeError>>;

    /// Waits until a started container has ended.
    fn wait<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Where this host reaches the ports of a container, whether they are published or not.
    fn addresses<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<Vec<IpAddr>, RuntimeError>>;

    /// Runs a command in a container, beside its own, and says its exit code.
    fn execute<'a>(
        &'a self,
        name: &'a ContainerName,
        command: &'a [String],
    ) -> BoxFuture<'a, Result<i64, RuntimeError>>;

    /// Adds what is new of a container's log to its files. It may be cut off and called again, and then
    /// nothing is missing and nothing is there twice.
    fn read_log<'a>(
        &'a self,
        name: &'a ContainerName,
        files: &'a LogFiles,
        reading: Reading,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Stops a container: SIGTERM, and SIGKILL after `grace`. One that has ended is left as it is.
    fn stop<'a>(
        &'a self,
        name: &'a ContainerName,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Removes a container. One that does not exist is no error.
    fn remove<'a>(&'a self, name: &'a ContainerName) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// The first process of a container that runs; nothing where there is none.
    fn process<'a>(&'a self, _name: &'a ContainerName) -> BoxFuture<'a, Result<Option<i32>, RuntimeError>> {
        Box::pin(async { Ok(None) })
    }

    /// How many bytes a container wrote to its own file system. It may take a while to count them.
    fn written<'a>(&'a self, _name: &'a ContainerName) -> BoxFuture<'a, Result<u64, RuntimeError>> {
        Box::pin(async { Ok(0) })
    }

    /// Where images and the file systems of containers are; nothing where there are none, or it is unknown.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// The runs of this node that have a container.
    fn list(&self) -> BoxFuture<'_, Result<Vec<RunKey>, RuntimeError>>;

    /// What the containers that run do with the network.
    fn usage(&self) -> BoxFuture<'_, Result<Usage, RuntimeError>>;
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It was made, and its command did not begin.
    Created,
    /// It ended, and its command never began: it may be made anew.
    Spent,
    /// Its command could not begin; why.
    Unfit(String),
    /// It runs.
    Running {
        /// Since when its command runs.
        started_at: DateTime<Utc>,
    },
    /// It has ended.
    Ended {
        /// When its command began.
        started_at: DateTime<Utc>,
        /// How it ended.
        exit: Exit,
    },
}

/// Why an engine did not do something.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The engine does not answer.
    #[error(
        "the container engine does not answer; start it (`systemctl start docker`), or try things out with `--runtime process`"
    )]
    Unreachable(#[source] bollard::errors::Error),
    /// The engine does not answer any more.
    #[error("the container engine was lost")]
    Lost(#[source] std::sync::Arc<bollard::errors::Error>),
    /// The engine's answer to something is an error.
    #[error("the container engine cannot {doing}")]
    Engine {
        /// What was to be done.
        doing: &'static str,
        /// What it says.
        #[source]
        source: bollard::errors::Error,
    },
    /// A file or process of this host is in the way.
    #[error("cannot {doing}")]
    Host {
        /// What was to be done.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A job without a command, which only an image could add.
    #[error("neither the job nor its image gives a command")]
    NoCommand,
    /// The command cannot be run.
    #[error("{0}")]
    Unfit(String),
    /// The container ended before its command began.
    #[error("its container ended before its command began")]
    Spent,
}

/// What becomes of an error of this host.
fn host(doing: &'static str) -> impl Fn(std::io::Error) -> RuntimeError {
    move |source| RuntimeError::Host { doing, source }
}

/// Why an image is not there.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// It could not be pulled.
    #[error(
        "the image `{image}` is not here and cannot be pulled; check its name, that this node reaches its registry, and for a private one `[registries]` in the agent's configuration"
    )]
    Pull {
        /// The image.
        image: Image,
        /// Why.
        #[source]
        source: PullError,
    },
    /// The engine failed before that.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// The text of an error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
