//! Says that the node is alive, and what it is.

use std::sync::Arc;

use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use almanac_proto::v1;

use crate::{
    backoff::Backoff,
    connection::Held,
    link::Link,
    runtime::{Runtime, chain},
};

/// What does not change while the agent runs.
#[derive(Clone)]
pub struct Pulse {
    /// What runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Which boot of the host this is.
    pub boot_id: String,
    /// The address that other nodes reach this one at, if it is known.
    pub address: Option<String>,
}

/// How long to wait where the reconciler does not say.
const INTERVAL: time::Duration = time::Duration::from_secs(30);

/// Sends heartbeats at the pace that the reconciler asks for, until the agent stops. A new state is
/// told at once.
pub async fn beat(mut link: Link, pulse: Pulse, mut held: watch::Receiver<Held>, stop: CancellationToken) {
    let mut backoff = Backoff::for_calls();
    loop {
        let beat = async {
            match send(&link, &pulse, &mut held).await {
                Ok(interval) => {
                    backoff.reset();
                    tokio::select! {
                        // Cancel-safe: waiting holds nothing.
                        () = time::sleep(interval) => {}
                        changed = held.changed() => if changed.is_err() {
                            time::sleep(interval).await;
                        },
                    }
                }
                Err(status) => {
                    link.complain("heartbeat", &status);
                    link.back_off(&mut backoff).await;
                }
            }
        };
        tokio::select! {
            // Cancel-safe: a heartbeat that is cut off is as if it was lost on its way.
            () = stop.cancelled() => return,
            () = beat => {}
        }
    }
}

async fn send(
    link: &Link,
    pulse: &Pulse,
    held: &mut watch::Receiver<Held>,
) -> Result<time::Duration, Status> {
    let engine = match pulse.runtime.describe().await {
        Ok(engine) => engine,
        Err(error) => chain(&error),
    };
    let version = held.borrow_and_update().version.clone();
    let request = v1::HeartbeatRequest {
        node: link.node.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: pulse.boot_id.clone(),
        address: pulse.address.clone().unwrap_or_default(),
        engine,
        epoch: version.epoch,
        generation: version.generation,
    };
    let response = link.client().heartbeat(Link::request(request)).await?.into_inner();
    let interval = response.interval.and_then(|interval| time::Duration::try_from(interval).ok());
    Ok(interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL))
}
