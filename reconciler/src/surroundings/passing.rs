//! Passes on to a node's stream what was fetched for it: at the beginning, and when it changed.

use std::sync::Arc;

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::NodeName;
use almanac_validate::Testbed;
use chrono::{DateTime, Utc};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, timeout},
};
use tonic::Status;

use super::{Known, Source, Surroundings, source, standing};

/// How long one node may keep others from their orbits. A link that takes longer has its part on the way.
const TURN: Duration = Duration::from_secs(10);

type Message = v1::WatchDesiredStateResponse;

/// What one stream was told, and is to be told.
#[derive(Debug)]
pub struct Passing {
    surroundings: Surroundings,
    heard: watch::Receiver<Arc<Known>>,
    weather: Option<v1::Weather>,
    orbits: Option<OrbitsTold>,
}

/// What a node knows of orbits. A problem with newer ones is told only to who has none: it would come with half a
/// megabyte that they have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OrbitsTold {
    Fetched(DateTime<Utc>),
    Problem(String),
}

/// What is to be sent: messages of their own, so that a large snapshot leaves room for orbits.
#[derive(Debug, Default)]
pub struct News {
    weather: Option<v1::Weather>,
    orbits: Option<v1::Orbits>,
}

impl Passing {
    /// A stream that was told nothing yet.
    pub fn new(surroundings: &Surroundings) -> Self {
        let heard = surroundings.subscribe();
        Self { surroundings: surroundings.clone(), heard, weather: None, orbits: None }
    }

    /// What a node is to be told now.
    pub fn news(&mut self, testbed: &Testbed, node: &NodeName) -> News {
        let known = Arc::clone(&self.heard.borrow_and_update());
        let Some(entry) = testbed.nodes.get(node) else { return News::default() };
        let (config, spec) = (&testbed.config, &entry.spec);
        let weather = standing::weather(config, spec, &known).map(|standing| {
            let place = source::weather(spec).filter(|_| config.weather.is_some());
            let content = place.and_then(|place| known.contents.get(&Source::Weather(place)));
            v1::Weather {
                json: content
                    .map(|content| String::from_utf8_lossy(&content.bytes).into_owned())
                    .unwrap_or_default(),
                fetched_at: content.map(|content| timestamp(content.at)),
                problem: standing.problem,
            }
        });
        let mut orbits = None;
        let told = standing::orbits(config, spec, &known).map(|standing| {
            let content = known.contents.get(&Source::Orbits).filter(|_| config.satellites.is_some());
            match content {
                Some(content) => OrbitsTold::Fetched(content.at),
                None => OrbitsTold::Problem(standing.problem),
            }
        });
        if told != self.orbits {
            orbits = told.as_ref().map(|told| match told {
                OrbitsTold::Fetched(at) => v1::Orbits {
                    tle_zstd: known
                        .contents
                        .get(&Source::Orbits)
                        .map(|content| content.bytes.clone())
                        .unwrap_or_default(),
                    fetched_at: Some(timestamp(*at)),
                    problem: String::new(),
                },
                OrbitsTold::Problem(problem) => {
                    v1::Orbits { problem: problem.clone(), ..v1::Orbits::default() }
                }
            });
            self.orbits = told;
        }
        let news = News { weather: weather.clone().filter(|_| weather != self.weather), orbits };
        self.weather = weather;
        news
    }

    /// Sends it. None when nobody listens any more.
    pub async fn send(&self, news: News, sender: &mpsc::Sender<Result<Message, Status>>) -> Option<()> {
        if let Some(weather) = news.weather {
            let message = Message { weather: Some(weather), ..Message::default() };
            sender.send(Ok(message)).await.ok()?;
        }
        if let Some(orbits) = news.orbits {
            // Nobody closes it.
            let turn = self.surroundings.gate.acquire().await.ok()?;
            let message = Message { orbits: Some(orbits), ..Message::default() };
            let taken = async {
                sender.send(Ok(message)).await.ok()?;
                // There is a place again when the message was taken.
                sender.reserve().await.ok().map(drop)
            };
            tokio::pin!(taken);
            match timeout(TURN, &mut taken).await {
                Ok(taken) => taken?,
                Err(_) => {
                    drop(turn);
                    taken.await?;
                }
            }
        }
        Some(())
    }

    /// Waits until something else is known. Cancel-safe: it is seen only in [`Passing::news`].
    pub async fn changed(&mut self) {
        // What was fetched stays known for as long as anybody serves.
        let _ = self.heard.changed().await;
    }
}
