//! The images of an engine: they are got once for all that wait for them, for as long as something moves.

mod progress;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{
    auth::DockerCredentials, errors::Error, models::CreateImageInfo,
    query_parameters::CreateImageOptionsBuilder,
};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
};
use thiserror::Error as ThisError;
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};

use almanac_schemas::container::Image;

use crate::{
    clock,
    credentials::{CredentialsError, Registries},
    journal::Journal,
    registry::Repository,
    runtime::chain,
};

use progress::Progress;

/// How long a pull may stand still before it is given up. Verifying a large layer on a slow card takes a minute.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What is needed to get images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    /// How to sign in to private registries.
    pub registries: Registries,
    /// How long a pull may stand still.
    pub patience: Duration,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self { registries: Registries::default(), patience: PATIENCE }
    }
}

/// Why an image could not be got. Everybody who waited for it is told.
#[derive(Debug, Clone, ThisError)]
pub enum PullError {
    /// The engine or the registry says no.
    #[error("it was refused")]
    Refused(#[source] Arc<Error>),
    /// Nothing moves any more.
    #[error("nothing more of it came for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The credentials cannot be had.
    #[error(transparent)]
    Credentials(Arc<CredentialsError>),
    /// The engine is gone.
    #[error("the container engine does not answer any more")]
    Engine(#[source] Arc<Error>),
}

type Pull = Shared<BoxFuture<'static, Result<(), PullError>>>;

/// Gets images.
#[derive(Clone)]
pub struct Images {
    client: bollard::Docker,
    settings: Arc<PullSettings>,
    ledger: Option<Journal>,
    /// The pulls that somebody waits for. One that nobody waits for any more is dropped, and the engine ends it.
    pulls: Arc<Mutex<HashMap<Image, Pull>>>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Images {
    /// Images of an engine.
    pub fn new(client: bollard::Docker, settings: PullSettings, ledger: Option<Journal>) -> Self {
        Self { client, settings: Arc::new(settings), ledger, pulls: Arc::default() }
    }

    /// Records that an image is wanted. That is for housekeeping alone, and no reason for a run to fail.
    pub async fn note_use(&self, image: &Image) {
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.use_image(image, clock::now()).await
        {
            warn!(%image, error = chain(&error), "it is not recorded that an image is used");
        }
    }

    /// Records that an image is this agent's, before it is. One that is not recorded is never removed.
    async fn note_pull(&self, image: &Image) {
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.own_image(image, clock::now()).await
        {
            warn!(%image, error = chain(&error), "it is not recorded that an image is pulled");
        }
    }

    /// Gets an image, together with whoever else wants it now.
    ///
    /// # Errors
    ///
    /// When it cannot be got.
    pub async fn pull(&self, image: &Image) -> Result<(), PullError> {
        let pull = self.join(image);
        let pulled = pull.clone().await;
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have begun another one meanwhile.
        if pulls.get(image).is_some_and(|current| current.ptr_eq(&pull)) {
            pulls.remove(image);
        }
        pulled
    }

    /// The pull of an image that goes on, or a new one.
    fn join(&self, image: &Image) -> Pull {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended stays for the moment until its waiters have woken up; its answer is of yesterday.
        if let Some(going) = pulls.get(image).filter(|pull| pull.peek().is_none()) {
            return going.clone();
        }
        let pull = self.clone().carry_out(image.clone()).boxed().shared();
        pulls.insert(image.clone(), pull.clone());
        pull
    }

    async fn carry_out(self, image: Image) -> Result<(), PullError> {
        let registry = Repository::of(&image).registry;
        let credentials = self.settings.registries.credentials(&registry);
        let credentials = credentials.map_err(|error| PullError::Credentials(Arc::new(error)))?;
        self.note_pull(&image).await;
        info!(%image, signed_in = credentials.is_some(), "pulling an image");
        let credentials = credentials.map(|credentials| DockerCredentials {
            username: Some(credentials.username),
            password: Some(credentials.password),
            serveraddress: Some(registry),
            ..DockerCredentials::default()
        });
        let options = CreateImageOptionsBuilder::new().from_image(&pull_name(&image)).build();
        let mut steps = self.client.create_image(Some(options), None, credentials);
        let patience = self.settings.patience;
        let mut progress = Progress::default();
        let mut moved_at = Instant::now();
        loop {
            match time::timeout_at(moved_at + patience, steps.next()).await {
                Err(_elapsed) => return Err(PullError::Stalled(patience)),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(refusal(error)),
                Ok(Some(Ok(step))) => {
                    debug!(%image, ?step, "pulling");
                    let CreateImageInfo { id, status, progress_detail, .. } = step;
                    let current = progress_detail.and_then(|detail| detail.current);
                    if progress.note(id.as_deref(), status.as_deref(), current) {
                        moved_at = Instant::now();
                    }
                }
            }
        }
    }
}

/// An answer of the engine is about the image; anything else means that there was none.
fn refusal(error: Error) -> PullError {
    match error {
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            PullError::Refused(Arc::new(error))
        }
        error => PullError::Engine(Arc::new(error)),
    }
}

/// The name to pull by. Without a tag or digest an engine would pull every tag there is.
fn pull_name(image: &Image) -> String {
    let text = image.as_str();
    let last = text.rsplit('/').next().unwrap_or(text);
    if last.contains(':') || last.contains('@') { text.to_owned() } else { format!("{text}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, name) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("x/y:1", "x/y:1"),
            ("x@sha256:0123", "x@sha256:0123"),
        ] {
            assert_eq!(pull_name(&image.parse().unwrap()), name);
        }
    }
}
