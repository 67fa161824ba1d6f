//! Which of the files that wait for the reconciler go when there are too many.

use almanac_schemas::Size;

use crate::{
    artifacts::{ARCHIVE, LOG},
    journal::PendingUpload,
};

/// What a file is to those who wait for it; the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It has no place here, whatever else goes.
    TooLarge,
    Artifacts,
    Log,
    Facts,
}

/// Of the files that wait, those of the oldest runs first, the ones that have to go so that the others are within a
/// limit: artifacts before logs, and in each the oldest first.
pub(super) fn choose(waiting: Vec<PendingUpload>, limit: Size) -> Vec<PendingUpload> {
    let limit = limit.as_bytes();
    let mut bytes: u64 = waiting.iter().map(|upload| upload.file.size).sum();
    let mut waiting: Vec<(Worth, PendingUpload)> =
        waiting.into_iter().map(|upload| (worth(&upload, limit), upload)).collect();
    // Stable: the oldest stay first.
    waiting.sort_by_key(|(worth, _)| *worth);
    let mut going = Vec::new();
    for (_, upload) in waiting {
        if bytes <= limit {
            break;
        }
        bytes -= upload.file.size;
        going.push(upload);
    }
    going
}

fn worth(upload: &PendingUpload, limit: u64) -> Worth {
    match upload.file.name.as_str() {
        _ if upload.file.size > limit => Worth::TooLarge,
        ARCHIVE => Worth::Artifacts,
        LOG => Worth::Log,
        _ => Worth::Facts,
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};

    use super::*;
    use crate::{artifacts::FACTS, journal::UploadFile, run::RunKey};

    /// Files of runs, the oldest first.
    fn waiting(files: &[(i64, &str, u64)]) -> Vec<PendingUpload> {
        let upload = |(id, (run, name, size)): (i64, &(i64, &str, u64))| {
            let at = chrono::DateTime::from_timestamp(*run, 0).unwrap();
            let run = RunId::new(&"job".parse().unwrap(), &"node".parse().unwrap(), at);
            let file = UploadFile { name: (*name).to_owned(), size: *size, sha256: [0; 32] };
            PendingUpload { id, key: RunKey { id: run, role: RunRole::Client }, file }
        };
        (0..).zip(files).map(upload).collect()
    }

    fn chosen(files: &[(i64, &str, u64)], limit: u64) -> Vec<i64> {
        choose(waiting(files), Size::from_bytes(limit)).iter().map(|upload| upload.id).collect()
    }

    #[test]
    fn artifacts_of_the_oldest_runs_go_first_then_logs_and_no_more_than_must() {
        let files = [
            (1, ARCHIVE, 50),
            (1, FACTS, 1),
            (1, LOG, 20),
            (2, ARCHIVE, 50),
            (2, FACTS, 1),
            (2, LOG, 20),
            (3, ARCHIVE, 50),
        ];
        assert_eq!(chosen(&files, 192), [0; 0]);
        assert_eq!(chosen(&files, 191), [0]);
        assert_eq!(chosen(&files, 100), [0, 3]);
        assert_eq!(chosen(&files, 60), [0, 3, 6]);
        assert_eq!(chosen(&files, 41), [0, 3, 6, 2]);
        assert_eq!(chosen(&files, 21), [0, 3, 6, 2, 5]);
    }

    #[test]
    fn what_is_larger_than_all_that_may_be_drives_out_nothing_else() {
        let files = [(1, ARCHIVE, 50), (1, LOG, 20), (2, ARCHIVE, 1000), (3, LOG, 2000)];
        assert_eq!(chosen(&files, 100), [2, 3]);
    }
}
