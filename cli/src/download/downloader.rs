//! Brings files here: it looks for those that are there already, and fetches the others, several at a time.

use std::{collections::BTreeSet, path::PathBuf};

use futures::{StreamExt, TryStreamExt, future::Either, stream};
use tokio::task::spawn_blocking;

use almanac_proto::limits;
use almanac_schemas::RunId;

use super::{Place, Progress, direct::Direct, large, small};
use crate::{
    call::Caller,
    extract::{ARCHIVE, extract},
    fetch::FetchError,
    view::{Artifact, State},
};

/// How many small files a call asks for: so many that calls cost little, and so few that several are under way.
const SMALL: usize = 250;

const _: () = assert!(SMALL <= limits::MAX_FILES, "the reconciler takes no more in one call");

/// How many files are looked at in one piece of work, and how many bytes of them end it: pieces are looked at side by side, and
/// a few large files are as much to read as many small ones.
const LOOKED_AT: usize = 64;
const LOOKED_AT_BYTES: u64 = 8 << 20;

/// A file that is wanted.
#[derive(Debug, Clone)]
pub struct File {
    /// The run.
    pub run: RunId,
    /// What is known of it.
    pub artifact: Artifact,
    /// Where it goes.
    pub place: Place,
}

/// A file that is there, whole and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// How it came there.
    pub state: State,
    /// The folder that it was unpacked to.
    pub extracted_to: Option<PathBuf>,
}

/// What brings files here.
#[derive(Debug)]
pub struct Downloader<'a> {
    caller: &'a Caller,
    direct: Direct,
    parallel: usize,
    extract: bool,
    progress: Progress,
}

/// What came of files, by their places in the list.
type Came = Vec<(usize, Result<State, FetchError>)>;

impl<'a> Downloader<'a> {
    /// Prepares to have so many transfers under way, and to unpack archives if that is wanted.
    ///
    /// # Errors
    ///
    /// When there is no HTTP client to be had.
    pub fn new(
        caller: &'a Caller,
        parallel: usize,
        extract: bool,
        progress: Progress,
    ) -> Result<Self, FetchError> {
        Ok(Self { caller, direct: Direct::new(caller)?, parallel: parallel.max(1), extract, progress })
    }

    /// The stores' hosts that could not be reached, so that files came through the reconciler.
    pub fn unreachable(&self) -> BTreeSet<String> {
        self.direct.unreachable()
    }

    /// Brings files here, and hands over what comes of each by its place in the list.
    ///
    /// # Errors
    ///
    /// What would come of all others as well: nothing answers, the disk is full. Then some files have come, and nothing
    /// is handed over for those that have not.
    pub async fn save(
        &self,
        files: &[File],
        mut came: impl FnMut(usize, Result<Arrived, FetchError>),
    ) -> Result<(), FetchError> {
        self.progress.expect(files.iter().map(|file| file.artifact.size));
        let (mut there, mut small, mut large) = (Came::new(), Vec::new(), Vec::new());
        let mut looked = stream::iter(pieces(files)).map(look).buffered(self.parallel);
        while let Some(piece) = looked.try_next().await? {
            for (index, is_there) in piece {
                match is_there {
                    Ok(true) => there.push((index, Ok(State::Present))),
                    Ok(false) if files[index].artifact.size <= limits::MAX_CONTENT as u64 => {
                        small.push(index);
                    }
                    Ok(false) => large.push(index),
                    Err(error) => there.push((index, Err(error))),
                }
            }
        }
        let present = stream::iter(there.into_iter().map(|one| Either::Left(async { (vec![one], None) })));
        let transfers = small
            .chunks(SMALL)
            .map(|part| Either::Left(self.small(files, part)))
            .chain(large.iter().map(|index| Either::Right(self.large(files, *index))))
            .map(Either::Right);
        let mut all = present
            .chain(stream::iter(transfers))
            .map(async |transfer| {
                let (came, failure) = transfer.await;
                (self.unpacked(files, came).await, failure)
            })
            .buffer_unordered(self.parallel);
        while let Some((ended, failure)) = all.next().await {
            let mut fatal = failure;
            for (index, outcome) in ended {
                match outcome {
                    Err(error) if !error.is_of_the_run() => fatal = fatal.or(Some(error)),
                    outcome => came(index, outcome),
                }
                self.progress.ended(files[index].artifact.size);
            }
            // Cancel-safe: what the others have not finished stays as a part, or is not there.
            if let Some(error) = fatal {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Small files in one call. What came of them, and why nothing came of the others.
    async fn small(&self, files: &[File], part: &[usize]) -> (Came, Option<FetchError>) {
        let wanted: Vec<File> = part.iter().map(|index| files[*index].clone()).collect();
        let mut all: Vec<Option<Result<State, FetchError>>> = part.iter().map(|_| None).collect();
        let saved = small::save(self.caller, &wanted, |index, state| all[index] = Some(state)).await;
        let missing = all.iter().any(Option::is_none);
        let came = part.iter().zip(all).filter_map(|(index, state)| Some((*index, state?))).collect();
        let failure = saved.err().or_else(|| missing.then(|| self.caller.silent().into()));
        (came, failure)
    }

    async fn large(&self, files: &[File], index: usize) -> (Came, Option<FetchError>) {
        let file = &files[index];
        let bar = self.progress.file(&file.artifact.name, file.artifact.size);
        let state = large::save(self.caller, &self.direct, file, &bar).await;
        (vec![(index, state)], None)
    }

    /// Unpacks the archives among what came, unless that was done before.
    async fn unpacked(&self, files: &[File], came: Came) -> Vec<(usize, Result<Arrived, FetchError>)> {
        let mut all = Vec::with_capacity(came.len());
        for (index, state) in came {
            let file = &files[index];
            let arrived = match state {
                Ok(state) if self.extract && file.artifact.name == ARCHIVE => {
                    unpack(&file.place, state).await
                }
                Ok(state) => Ok(Arrived { state, extracted_to: None }),
                Err(error) => Err(error),
            };
            all.push((index, arrived));
        }
        all
    }
}

/// The files with their places in the list, in pieces.
fn pieces(files: &[File]) -> impl Iterator<Item = Vec<(usize, File)>> {
    let mut files = files.iter().cloned().enumerate();
    std::iter::from_fn(move || {
        let (mut piece, mut bytes) = (Vec::new(), 0_u64);
        while piece.len() < LOOKED_AT
            && bytes < LOOKED_AT_BYTES
            && let Some((index, file)) = files.next()
        {
            bytes = bytes.saturating_add(file.artifact.size);
            piece.push((index, file));
        }
        (!piece.is_empty()).then_some(piece)
    })
}

/// Which of some files are there.
async fn look(piece: Vec<(usize, File)>) -> Result<Vec<(usize, Result<bool, FetchError>)>, FetchError> {
    let look = |(index, file): (usize, File)| (index, file.place.holds(&file.artifact));
    Ok(spawn_blocking(move || piece.into_iter().map(look).collect()).await?)
}

async fn unpack(place: &Place, state: State) -> Result<Arrived, FetchError> {
    let place = place.clone();
    let unpacking = spawn_blocking(move || {
        let folder = place.path().with_file_name("artifacts");
        // None of the folders above leads elsewhere.
        place.prepare()?;
        let done =
            state == State::Present && std::fs::symlink_metadata(&folder).is_ok_and(|there| there.is_dir());
        if done { Ok(folder) } else { extract(place.path()) }
    });
    Ok(Arrived { state, extracted_to: Some(unpacking.await??) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use almanac_schemas::RunRole;

    use super::*;

    fn files(sizes: impl IntoIterator<Item = u64>) -> Vec<File> {
        let run: RunId = "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".parse().unwrap();
        let file = |size| File {
            run,
            artifact: Artifact {
                role: RunRole::Client,
                name: "run.log".to_owned(),
                size,
                sha256: String::new(),
                path: String::new(),
                stored_at: None,
                expires_at: None,
                expired_at: None,
                kept_for: None,
            },
            place: Place::new(Path::new("to"), run, RunRole::Client, "run.log").unwrap(),
        };
        sizes.into_iter().map(file).collect()
    }

    fn lengths(sizes: impl IntoIterator<Item = u64>) -> Vec<usize> {
        let files = files(sizes);
        let pieces: Vec<_> = pieces(&files).collect();
        let places: Vec<_> = pieces.iter().flatten().map(|(index, _)| *index).collect();
        assert!(places.into_iter().eq(0..files.len()), "each file is looked at once");
        pieces.iter().map(Vec::len).collect()
    }

    #[test]
    fn large_files_are_looked_at_side_by_side_and_small_ones_together() {
        assert_eq!(lengths([1 << 30; 3]), [1, 1, 1]);
        assert_eq!(lengths([100; 130]), [64, 64, 2]);
        assert_eq!(lengths([100, u64::MAX, 100, u64::MAX]), [2, 2]);
        assert_eq!(lengths([0; 65]), [64, 1]);
        assert!(lengths([]).is_empty());
    }
}
