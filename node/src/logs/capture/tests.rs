use proptest::prelude::*;

use super::*;

fn files(folder: &Path, limit: u64) -> LogFiles {
    LogFiles { log: folder.join("run.log"), folder: folder.join("log"), limit }
}

/// What a log should be, of everything that was written.
fn expected(all: &[u8], limit: usize) -> Vec<u8> {
    if all.len() <= limit {
        return all.to_vec();
    }
    let (head, tail) = (&all[..limit / 2], &all[all.len() - (limit - limit / 2)..]);
    let omitted = all.len() - limit;
    let start = if head.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
    let notice =
        format!("{start}[almanac: {omitted} bytes are left out here; of a log, {limit} bytes are kept]\n");
    [head, notice.as_bytes(), tail].concat()
}

#[test]
fn a_log_within_its_limit_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 10);
    let mut capture = files.open().unwrap().unwrap();
    capture.write(b"0123").unwrap();
    capture.write(b"456789").unwrap();
    capture.mark().unwrap();
    files.seal().unwrap();
    assert_eq!(fs::read(&files.log).unwrap(), b"0123456789");
    assert!(!files.tail().exists());
    assert!(files.open().unwrap().is_none(), "nothing is added to a sealed log");
}

#[test]
fn a_log_that_nobody_wrote_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 10);
    files.seal().unwrap();
    assert!(!files.log.exists());
    files.open().unwrap().unwrap().mark().unwrap();
    files.seal().unwrap();
    assert_eq!(fs::read(&files.log).unwrap(), b"");
}

#[test]
fn what_follows_a_gap_is_not_mixed_with_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 60);
    let mut first = files.open().unwrap().unwrap();
    first.write(&[b'h'; 30]).unwrap();
    first.write(b"old").unwrap();
    first.mark().unwrap();
    // Goes round, over what was there at the mark, and is killed.
    first.write(&[b'x'; 35]).unwrap();
    drop(first);
    let mut second = files.open().unwrap().unwrap();
    second.break_off("(gap)").unwrap();
    second.write(b"new").unwrap();
    second.mark().unwrap();
    files.seal().unwrap();
    let log = String::from_utf8(fs::read(&files.log).unwrap()).unwrap();
    let notice = "\n[almanac: at least 3 bytes are left out here; of a log, 60 bytes are kept]\n";
    assert_eq!(log, format!("{}{notice}(gap)new", "h".repeat(30)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writers are killed at any point, with or without a mark; the next writes again from the mark on.
    #[test]
    fn head_and_tail_are_kept_through_kills(
        limit in 2_usize..40,
        length in 0_usize..200,
        steps in prop::collection::vec((1_usize..30, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let all: Vec<u8> = (0..length).map(|byte| if byte % 7 == 0 { b'\n' } else { u8::try_from(byte).unwrap() }).collect();
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), limit as u64);
        let mut capture = files.open().unwrap().unwrap();
        for (size, mark, kill) in steps {
            let written = usize::try_from(capture.mark.written).unwrap();
            capture.write(&all[written..(written + size).min(length)]).unwrap();
            if mark {
                capture.mark().unwrap();
            }
            if kill {
                capture = files.open().unwrap().unwrap();
            }
        }
        let written = usize::try_from(capture.mark.written).unwrap();
        capture.write(&all[written..]).unwrap();
        capture.mark().unwrap();
        // A seal that is cut off before it is recorded is done again.
        let unsealed = fs::read(files.folder.join("mark.json")).unwrap();
        let tail = fs::read(files.tail()).unwrap();
        files.seal().unwrap();
        prop_assert_eq!(fs::read(&files.log).unwrap(), expected(&all, limit));
        fs::write(files.folder.join("mark.json"), unsealed).unwrap();
        fs::write(files.tail(), tail).unwrap();
        files.seal().unwrap();
        prop_assert_eq!(fs::read(&files.log).unwrap(), expected(&all, limit));
    }
}
