//! A file that is too large to come with others: streamed into a part of its name, which a later download goes on with.

use tokio::task::spawn_blocking;

use super::{File, FileProgress, Hashed, direct::Direct};
use crate::{
    call::Caller,
    fetch::{FetchError, Stored},
    view::State,
};

/// Fetches a file that is not there.
///
/// # Errors
///
/// When it does not arrive whole. Then nothing of its name is left that is not whole.
pub(super) async fn save(
    caller: &Caller,
    direct: &Direct,
    file: &File,
    bar: &FileProgress<'_>,
) -> Result<State, FetchError> {
    let File { place, artifact, run } = file;
    place.prepare()?;
    let (place_before, announced) = (place.clone(), artifact.clone());
    let mut before = spawn_blocking(move || place_before.begun(&announced)).await??;
    let write = |error| FetchError::Write(place.part(), error);
    let stored = Stored { run: *run, artifact };
    loop {
        let resumed = before.is_some();
        let mut to = if resumed { place.go_on() } else { place.begin() }?;
        let mut arrived = before.take().unwrap_or_default();
        bar.is_at(arrived.size);
        if arrived.size < artifact.size {
            match direct.stream(caller, stored, &mut arrived, &mut to, bar).await? {
                Some(written) => written.map_err(write)?,
                None => arrived = stored.stream(caller, arrived, &mut to, bar).await?.map_err(write)?,
            }
        }
        match Hashed::check(arrived, artifact) {
            Ok(()) => {
                // Before it has its name, so that a whole name does not stand for half a file after a power cut: reading all
                // of a large one to find out costs more than this does.
                let synced = spawn_blocking(move || to.sync_all()).await?;
                synced.map_err(write)?;
                place.finish()?;
                return Ok(if resumed { State::Resumed } else { State::Downloaded });
            }
            // The beginning may have been of something else: once more from the start.
            Err(FetchError::Checksum { .. }) if resumed => {}
            Err(error @ FetchError::Checksum { .. }) => {
                std::fs::remove_file(place.part()).map_err(write)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
}
