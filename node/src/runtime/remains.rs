//! What an engine holds of this agent besides running containers: what is left of runs, networks, images.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveImageOptionsBuilder,
};
use chrono::{DateTime, Utc};

use almanac_schemas::container::Image;

use crate::{container::AGENT_LABEL, run::RunKey};

use super::{
    Docker, RuntimeError,
    docker::{engine, key_of, status},
};

impl Docker {
    /// The runs that have a container of this agent, and when it was made. One without an instant was made just now.
    ///
    /// # Errors
    ///
    /// When the engine does not say.
    pub async fn remains(&self) -> Result<Vec<(RunKey, DateTime<Utc>)>, RuntimeError> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.own()).build();
        let containers = self.client.list_containers(Some(options)).await;
        let containers = containers.map_err(|error| engine("list the containers", error))?;
        let found = containers.into_iter().filter_map(|container| {
            let made_at = container.created.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            Some((key_of(&container.labels?)?, made_at.unwrap_or(DateTime::<Utc>::MAX_UTC)))
        });
        Ok(found.collect())
    }

    /// The networks that this agent made, that are not the one in use now, and that no container is in, also none that
    /// was never started.
    ///
    /// # Errors
    ///
    /// When the engine does not say.
    pub async fn idle_networks(&self, in_use: &str) -> Result<Vec<String>, RuntimeError> {
        let options = ListNetworksOptionsBuilder::new().filters(&self.own()).build();
        let networks = self.client.list_networks(Some(options)).await;
        let networks = networks.map_err(|error| engine("list the networks", error))?;
        let mut idle = Vec::new();
        for name in networks.into_iter().filter_map(|network| network.name).filter(|name| name != in_use) {
            let filters = HashMap::from([("network", vec![name.as_str()])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            let inside = self.client.list_containers(Some(options)).await;
            if inside.map_err(|error| engine("list the containers", error))?.is_empty() {
                idle.push(name);
            }
        }
        Ok(idle)
    }

    /// Removes a network. The engine refuses one that is in use, and that is as well.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    pub async fn drop_network(&self, name: &str) -> Result<(), RuntimeError> {
        match self.client.remove_network(name).await {
            Err(error) if !matches!(status(&error), Some(403 | 404 | 409)) => {
                Err(engine("remove a network", error))
            }
            _ => Ok(()),
        }
    }

    /// How many bytes an image has; nothing when it is not there.
    ///
    /// # Errors
    ///
    /// When the engine does not say.
    pub async fn image_size(&self, image: &Image) -> Result<Option<u64>, RuntimeError> {
        match self.client.inspect_image(image.as_str()).await {
            Ok(found) => Ok(Some(found.size.unwrap_or_default().max(0).cast_unsigned())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(engine("look for an image", error)),
        }
    }

    /// Removes an image by this name; whether it is gone. What has other names, or is in a container, is left to those.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    pub async fn remove_image(&self, image: &Image) -> Result<bool, RuntimeError> {
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        match self.client.remove_image(image.as_str(), Some(options), None).await {
            Err(error) if status(&error) == Some(404) => Ok(true),
            Err(error) if status(&error) == Some(409) => Ok(false),
            Err(error) => Err(engine("remove an image", error)),
            Ok(_) => Ok(true),
        }
    }

    /// A filter for what this agent made.
    fn own(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![format!("{AGENT_LABEL}={}", self.agent)])])
    }
}
