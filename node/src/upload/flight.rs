//! Which of the waiting files go next, besides those that are on their way.

use std::collections::BTreeMap;

use crate::journal::{Lane, PendingUpload};

/// The files that are on their way.
#[derive(Debug, Default)]
pub(super) struct Flight(BTreeMap<i64, u64>);

/// How many small files go at once: their calls wait for the link, not for each other.
const SMALL: usize = 16;

/// How many bytes they have together. What has begun is not taken back when an exclusive run begins.
const SMALL_BYTES: u64 = 256 << 10;

/// How many large files go at once: one fills the link, and a second one goes on while the first is being stored.
const LARGE: usize = 2;

impl Flight {
    /// How many files have to be looked at to find all that may go now.
    pub(super) fn reach(lane: Lane) -> usize {
        2 * Self::most(lane)
    }

    /// Of the files that wait, in their order, those that may go now. They are on their way from here on.
    pub(super) fn board(&mut self, lane: Lane, waiting: Vec<PendingUpload>) -> Vec<PendingUpload> {
        let mut going = Vec::new();
        for upload in waiting {
            if self.holds(upload.id) {
                continue;
            }
            let (count, bytes) = self.load(lane);
            let fits = lane == Lane::Large || count == 0 || bytes + upload.file.size <= SMALL_BYTES;
            if count >= Self::most(lane) || !fits {
                break;
            }
            self.0.insert(upload.id, upload.file.size);
            going.push(upload);
        }
        going
    }

    /// A file is no longer on its way.
    pub(super) fn land(&mut self, id: i64) {
        self.0.remove(&id);
    }

    /// Whether a file is on its way.
    pub(super) fn holds(&self, id: i64) -> bool {
        self.0.contains_key(&id)
    }

    fn load(&self, lane: Lane) -> (usize, u64) {
        let of_lane = self.0.values().filter(|size| Lane::of(**size) == lane);
        of_lane.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }

    const fn most(lane: Lane) -> usize {
        match lane {
            Lane::Small => SMALL,
            Lane::Large => LARGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};

    use super::*;
    use crate::{journal::UploadFile, run::RunKey};

    fn upload(id: i64, size: u64) -> PendingUpload {
        let at = chrono::DateTime::from_timestamp(id, 0).unwrap();
        let run = RunId::new(&"job".parse().unwrap(), &"node".parse().unwrap(), at);
        let file = UploadFile { name: "run.log".to_owned(), size, sha256: [0; 32] };
        PendingUpload { id, key: RunKey { id: run, role: RunRole::Client }, file }
    }

    fn ids(uploads: &[PendingUpload]) -> Vec<i64> {
        uploads.iter().map(|upload| upload.id).collect()
    }

    #[test]
    fn as_many_go_as_may_and_none_twice() {
        let mut flight = Flight::default();
        let waiting: Vec<PendingUpload> = (0..40).map(|id| upload(id, 100)).collect();
        assert_eq!(ids(&flight.board(Lane::Small, waiting.clone())), (0..16).collect::<Vec<_>>());
        assert!(flight.board(Lane::Small, waiting.clone()).is_empty());
        flight.land(3);
        flight.land(4);
        assert_eq!(ids(&flight.board(Lane::Small, waiting[5..].to_vec())), [16, 17]);
        assert!(flight.holds(17) && !flight.holds(3));
        let large: Vec<PendingUpload> = (100..105).map(|id| upload(id, 1 << 30)).collect();
        assert_eq!(ids(&flight.board(Lane::Large, large)), [100, 101], "each lane has its own room");
    }

    #[test]
    fn small_ones_are_few_bytes_together() {
        let mut flight = Flight::default();
        let waiting: Vec<PendingUpload> = (0..10).map(|id| upload(id, 64 << 10)).collect();
        assert_eq!(ids(&flight.board(Lane::Small, waiting)), [0, 1, 2, 3]);
    }
}
