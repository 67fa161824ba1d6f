//! Keeps the host tidy: images that nobody needs go when there are too many, and what is left of runs that nobody
//! knows of any more goes after a while. What ended in good order is removed by whoever ended it; this is for what
//! was cut off.

mod choose;

use std::{collections::BTreeSet, fs, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use thiserror::Error;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use almanac_schemas::{Duration, Size, container::Image};

use crate::{
    clock,
    container::ContainerName,
    desired::{Desired, SnapshotError},
    journal::{Journal, JournalError},
    run::RunKey,
    runtime::{Docker, Runtime, RuntimeError, chain},
    state_dir::StateDir,
};

use choose::{Held, Remains};

/// How tidy the host is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HousekeepingSettings {
    /// How often it is looked for what can go.
    pub every: Duration,
    /// How old what belongs to nobody has to be.
    pub grace: Duration,
    /// How much the pulled images may take; those that a job needs within 7 days are kept in any case.
    pub images: Size,
}

impl Default for HousekeepingSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            grace: Duration::from_secs(600),
            images: Size::from_bytes(10 << 30),
        }
    }
}

/// What the housekeeper works with.
pub struct Housekeeper {
    /// How tidy it has to be.
    pub settings: HousekeepingSettings,
    /// The engine, where there is one.
    pub engine: Option<Docker>,
    /// What goes on.
    pub journal: Journal,
    /// Where the folders of runs are.
    pub state_dir: Arc<StateDir>,
    /// The runs that are made ready and are not in the journal yet.
    pub ready: watch::Receiver<BTreeSet<RunKey>>,
}

/// Why a round is given up until the next.
#[derive(Debug, Error)]
enum RoundError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Tidies up until the agent stops.
pub async fn tidy(keeper: Housekeeper, stop: CancellationToken) {
    // A round that never ends would not be one.
    let every = keeper.settings.every.to_std().max(std::time::Duration::from_secs(1));
    loop {
        let round = async {
            time::sleep(every).await;
            if let Err(error) = keeper.round().await {
                warn!(error = chain(&error), "the host cannot be tidied up; trying again later");
            }
        };
        tokio::select! {
            // Cancel-safe: each removal is whole or not, and the next round finds what is left.
            () = stop.cancelled() => return,
            () = round => {}
        }
    }
}

impl Housekeeper {
    async fn round(&self) -> Result<(), RoundError> {
        let grace = self.settings.grace.to_delta();
        let folders = self.folders();
        // What there is, is listed before what goes on, and what is made ready before what is journaled: in this
        // order a run comes to be.
        let containers = match &self.engine {
            Some(engine) => engine.remains().await?,
            None => Vec::new(),
        };
        let mut open: Vec<RunKey> = self.ready.borrow().iter().copied().collect();
        open.extend(self.journal.open_runs().await?.iter().map(|run| run.order.key()));
        let now = clock::now();
        if let Some(engine) = &self.engine {
            let containers: Vec<Remains> =
                containers.into_iter().map(|(key, since)| Remains { key, since }).collect();
            for key in choose::strays(&containers, &open, now, grace) {
                info!(run = %key, "removing a container that belongs to no run");
                engine.remove(&ContainerName::of(&key)).await?;
            }
        }
        for key in choose::strays(&folders, &open, now, grace) {
            info!(run = %key, "removing the folder of a run that is over");
            if let Err(error) = self.state_dir.run(&key).remove().await {
                warn!(run = %key, %error, "the folder of a run cannot be removed");
            }
        }
        if let Some(engine) = &self.engine {
            self.engine_round(engine, now).await?;
        }
        Ok(())
    }

    async fn engine_round(&self, engine: &Docker, now: DateTime<Utc>) -> Result<(), RoundError> {
        let snapshot = self.journal.snapshot().await?;
        // Without a state nobody knows what is needed, and everything stays.
        let Some((desired, _)) = snapshot.as_ref().map(Desired::read).transpose()? else { return Ok(()) };
        for network in engine.idle_networks(&desired.network).await? {
            info!(network, "removing a network that no container is in");
            engine.drop_network(&network).await?;
        }
        let mut needed = choose::needed(&desired, now);
        for run in self.journal.open_runs().await? {
            needed.insert(crate::container::part(&run.order.spec, run.order.role).image.clone());
        }
        self.images_round(engine, &needed).await
    }

    async fn images_round(&self, engine: &Docker, needed: &BTreeSet<Image>) -> Result<(), RoundError> {
        let mut held = Vec::new();
        for (image, used_at) in self.journal.own_images().await? {
            match engine.image_size(&image).await? {
                Some(size) => held.push(Held { image, size, used_at }),
                // It was never got, or somebody else removed it. One that is being pulled is needed.
                None if !needed.contains(&image) => self.journal.disown_image(&image).await?,
                None => {}
            }
        }
        for image in choose::images(held, needed, self.settings.images.as_bytes()) {
            info!(%image, "removing an image that no job needs within a week");
            if engine.remove_image(&image).await? {
                self.journal.disown_image(&image).await?;
            } else {
                debug!(%image, "a container holds it");
            }
        }
        Ok(())
    }

    /// The folders of runs, and since when each is as it is.
    fn folders(&self) -> Vec<Remains> {
        let Ok(entries) = fs::read_dir(self.state_dir.runs()) else { return Vec::new() };
        let remains = |entry: fs::DirEntry| {
            let key = RunKey::from_text(entry.file_name().to_str()?)?;
            Some(Remains { key, since: entry.metadata().ok()?.modified().ok()?.into() })
        };
        entries.filter_map(Result::ok).filter_map(remains).collect()
    }
}
