//! What the reconciler passes on for providers: the weather and the orbits. What came last is kept in the state folder, so
//! that it is there after a restart without a connection.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use tokio::{sync::watch, task};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use almanac_proto::v1;

/// The longest of them that is read: orbits of 100,000 satellites have some 6 MiB in zstd.
const LONGEST: u64 = 32 << 20;

/// What came last of each. Clones share it.
#[derive(Debug, Clone)]
pub struct Feeds {
    weather: watch::Sender<Arc<v1::Weather>>,
    orbits: watch::Sender<Arc<v1::Orbits>>,
    folder: Arc<PathBuf>,
}

impl Feeds {
    /// What is kept in a folder.
    pub fn load(folder: PathBuf) -> Self {
        Self {
            weather: watch::Sender::new(Arc::new(read(&folder.join(WEATHER)))),
            orbits: watch::Sender::new(Arc::new(read(&folder.join(ORBITS)))),
            folder: Arc::new(folder),
        }
    }

    /// Takes out of a message what is for providers.
    pub fn take(&self, message: &mut v1::WatchDesiredStateResponse) {
        if let Some(weather) = message.weather.take() {
            self.weather.send_modify(|known| *known = Arc::new(newer(weather, known)));
        }
        if let Some(orbits) = message.orbits.take() {
            self.orbits.send_modify(|known| *known = Arc::new(newer(orbits, known)));
        }
    }

    /// The weather, as it comes.
    pub fn weather(&self) -> watch::Receiver<Arc<v1::Weather>> {
        self.weather.subscribe()
    }

    /// The orbits, as they come.
    pub fn orbits(&self) -> watch::Receiver<Arc<v1::Orbits>> {
        self.orbits.subscribe()
    }
}

/// Keeps what comes until the agent stops.
pub async fn keep(feeds: Feeds, stop: CancellationToken) {
    let (mut weather, mut orbits) = (feeds.weather(), feeds.orbits());
    let folder = feeds.folder.clone();
    loop {
        // Cancel-safe: a change that was not seen stays one.
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = weather.changed() => {
                let latest = weather.borrow_and_update().clone();
                write(&folder, WEATHER, latest.encode_to_vec()).await;
            }
            Ok(()) = orbits.changed() => {
                let latest = orbits.borrow_and_update().clone();
                write(&folder, ORBITS, latest.encode_to_vec()).await;
            }
        }
    }
}

const WEATHER: &str = "weather";
const ORBITS: &str = "orbits";

/// What is kept of both.
trait Kept {
    fn fetched(&self) -> bool;
    fn explain(&mut self, problem: String);
    fn problem(&self) -> &str;
}

impl Kept for v1::Weather {
    fn fetched(&self) -> bool {
        !self.json.is_empty()
    }

    fn explain(&mut self, problem: String) {
        self.problem = problem;
    }

    fn problem(&self) -> &str {
        &self.problem
    }
}

impl Kept for v1::Orbits {
    fn fetched(&self) -> bool {
        !self.tle_zstd.is_empty()
    }

    fn explain(&mut self, problem: String) {
        self.problem = problem;
    }

    fn problem(&self) -> &str {
        &self.problem
    }
}

/// What is known after something came: a reconciler that was just started may have fetched nothing yet, and then only why
/// is news.
fn newer<T: Kept + Clone>(came: T, known: &T) -> T {
    if came.fetched() || !known.fetched() {
        return came;
    }
    let mut kept = known.clone();
    kept.explain(came.problem().to_owned());
    kept
}

fn read<T: Message + Default>(path: &Path) -> T {
    let bytes = match fs::metadata(path) {
        Ok(found) if found.len() <= LONGEST => fs::read(path),
        Ok(found) => Err(io::Error::other(format!("it has {} bytes", found.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return T::default(),
        Err(error) => Err(error),
    };
    let read = bytes.and_then(|bytes| T::decode(bytes.as_slice()).map_err(io::Error::other));
    read.unwrap_or_else(|error| {
        warn!(file = %path.display(), %error, "what the reconciler passed on cannot be read; it is passed on again");
        T::default()
    })
}

/// A name is given to what is whole. What is lost with the power is passed on again.
async fn write(folder: &Path, name: &'static str, bytes: Vec<u8>) {
    let folder = folder.to_owned();
    let written = task::spawn_blocking(move || {
        fs::create_dir_all(&folder)?;
        let unfinished = folder.join(format!("{name}.new"));
        fs::write(&unfinished, bytes)?;
        fs::rename(unfinished, folder.join(name))
    });
    if let Err(error) = written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        warn!(what = name, %error, "what the reconciler passed on cannot be kept for the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orbits(text: &str, problem: &str) -> v1::WatchDesiredStateResponse {
        let orbits =
            v1::Orbits { tle_zstd: text.to_owned().into(), fetched_at: None, problem: problem.into() };
        v1::WatchDesiredStateResponse { orbits: Some(orbits), ..Default::default() }
    }

    #[tokio::test]
    async fn what_came_last_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry");
        let feeds = Feeds::load(path.clone());
        assert!(feeds.orbits().borrow().tle_zstd.is_empty());
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(feeds.clone(), stop.clone()));
        task::yield_now().await;
        feeds.take(&mut orbits("some", ""));
        while Feeds::load(path.clone()).orbits().borrow().tle_zstd != "some" {
            task::yield_now().await;
        }
        // A reconciler that has none yet takes nothing away.
        feeds.take(&mut orbits("", "it is not reached"));
        assert_eq!(feeds.orbits().borrow().tle_zstd, "some");
        assert_eq!(feeds.orbits().borrow().problem, "it is not reached");
        stop.cancel();
        keeper.await.unwrap();
        fs::write(path.join(ORBITS), [0xff; 100]).unwrap();
        assert!(Feeds::load(path).orbits().borrow().tle_zstd.is_empty(), "what is damaged is passed over");
    }
}
