//! One who watches what a node measures.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use almanac_proto::{reading::Reading, v1};
use almanac_schemas::{NodeName, node::NodeSpec, trigger::Provider};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Live,
    hub::{Latest, Watching},
};
use crate::applied::Applied;

/// After how long a silence the node is said to be silent. Agents say every five seconds that they are there.
const SILENCE: Duration = Duration::from_secs(15);

/// How long one who does not follow waits for providers that measure only when somebody watches.
const SETTLE: Duration = Duration::from_secs(3);

/// Somebody who watches.
#[derive(Debug)]
pub struct Watcher {
    /// Which node.
    pub node: NodeName,
    /// Whether to go on.
    pub follow: bool,
    /// What the node should measure.
    pub expected: BTreeSet<Provider>,
    /// Who watches which node.
    pub live: Live,
    /// Where answers go.
    pub answers: mpsc::Sender<Answer>,
}

/// An answer to one who watches.
pub type Answer = Result<v1::WatchTelemetryResponse, Status>;

/// What a node measures by its manifest and always. What only its host names is not known here.
pub fn expected(spec: &NodeSpec) -> BTreeSet<Provider> {
    let telemetry = spec.telemetry.clone().unwrap_or_default();
    let declared = [
        (Provider::Dish, telemetry.dish.is_some()),
        (Provider::Weather, telemetry.weather.is_some()),
        (Provider::Satellites, telemetry.satellites.is_some()),
        (Provider::Network, true),
        (Provider::Host, true),
    ];
    declared.into_iter().filter(|(_, is_declared)| *is_declared).map(|(provider, _)| provider).collect()
}

/// What is known, and what is in the way.
pub fn answer(readings: impl IntoIterator<Item = Reading>, problem: &str) -> v1::WatchTelemetryResponse {
    let readings = readings.into_iter().map(v1::Reading::from).collect();
    v1::WatchTelemetryResponse { readings, problem: problem.to_owned() }
}

impl Watcher {
    /// Watches until there is a reason not to: none is given when the answers are complete, or nobody takes them.
    pub async fn run(
        self,
        mut watching: Watching,
        mut applied: watch::Receiver<Arc<Applied>>,
        is_allowed: impl Fn(&Applied) -> Result<(), Status>,
        stop: CancellationToken,
    ) -> Option<Status> {
        let mut heard_at = Instant::now();
        let mut begun_at = watching.is_heard.then_some(heard_at);
        let mut is_silent = false;
        if begun_at.is_some() {
            self.begin().await?;
        }
        loop {
            if let Some(begun_at) = begun_at.filter(|_| !self.follow)
                && (self.is_complete() || begun_at.elapsed() >= SETTLE)
            {
                self.send(self.latest().into_values(), "").await?;
                return None;
            }
            let end = match begun_at {
                Some(begun_at) if !self.follow => begun_at + SETTLE,
                _ => heard_at + SILENCE,
            };
            // Cancel-safe: what was not received is received the next time or was replaced, and the rest holds nothing.
            tokio::select! {
                news = watching.news.recv() => match news {
                    Ok(news) => {
                        heard_at = Instant::now();
                        if begun_at.is_none() {
                            begun_at = Some(heard_at);
                            self.begin().await?;
                        } else if self.follow && (is_silent || !news.is_empty()) {
                            self.send(news.iter().cloned(), "").await?;
                        }
                        is_silent = false;
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Some(Status::unavailable("nobody speaks for the node any more")),
                },
                () = sleep_until(end), if !is_silent => {
                    if begun_at.is_some() && !self.follow {
                        continue;
                    }
                    let readings = if begun_at.is_none() { self.latest() } else { Latest::new() };
                    self.send(readings.into_values(), &silent(&self.node)).await?;
                    if !self.follow {
                        return None;
                    }
                    is_silent = true;
                    // What comes next is news, and what there was has been told.
                    begun_at.get_or_insert(heard_at);
                }
                changed = applied.changed() => {
                    if changed.is_err() {
                        return Some(stopping());
                    }
                    if let Err(status) = is_allowed(&applied.borrow_and_update()) {
                        return Some(status);
                    }
                }
                () = stop.cancelled() => return Some(stopping()),
                () = self.answers.closed() => return None,
            }
        }
    }

    /// The first answer to one who follows: what is known.
    async fn begin(&self) -> Option<()> {
        if self.follow { self.send(self.latest().into_values(), "").await } else { Some(()) }
    }

    fn latest(&self) -> Latest {
        self.live.latest(&self.node)
    }

    fn is_complete(&self) -> bool {
        let latest = self.latest();
        self.expected.iter().all(|provider| latest.contains_key(provider))
    }

    async fn send(&self, readings: impl IntoIterator<Item = Reading>, problem: &str) -> Option<()> {
        self.answers.send(Ok(answer(readings, problem))).await.ok()
    }
}

fn silent(node: &NodeName) -> String {
    let seconds = SILENCE.as_secs();
    format!(
        "`{node}` has not sent what it measures for {seconds} s: its link may be down, or its agent older than this reconciler"
    )
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping; watch again")
}
