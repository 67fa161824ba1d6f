use std::fs;

use almanac_proto::log::{self, Omission, Stream};
use proptest::prelude::*;

use super::*;

fn files(folder: &Path, limit: u64) -> LogFiles {
    LogFiles { log: folder.join("run.log"), folder: folder.join("log"), limit }
}

const STAMP: &str = "2026-11-26T04:00:00.000000000Z";

/// A line of a log that has so many bytes of text.
fn line(text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    log::encode(&mut line, STAMP, Stream::Stdout, format!("{text}\n").as_bytes());
    line
}

/// What a log should be, of everything that was written.
fn expected(all: &[u8], limit: usize) -> Vec<u8> {
    if all.len() <= limit {
        return all.to_vec();
    }
    let head = all[..limit / 2].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let tail = all.len() - (limit - limit / 2);
    let tail = all[tail..].iter().position(|byte| *byte == b'\n').map_or(all.len(), |at| tail + at + 1);
    let omission = Omission { bytes: (tail - head) as u64, from: head as u64, limit: limit as u64 };
    let stamp = if head == 0 { "1970-01-01T00:00:00.000000000Z" } else { STAMP };
    [&all[..head], &omission.line(stamp), &all[tail..]].concat()
}

#[test]
fn a_log_within_its_limit_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 200);
    let mut capture = files.open().unwrap().unwrap();
    capture.write(&line("0123")).unwrap();
    capture.write(&line("456789")).unwrap();
    capture.mark().unwrap();
    files.seal().unwrap();
    assert_eq!(fs::read(&files.log).unwrap(), [line("0123"), line("456789")].concat());
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
fn what_was_written_after_the_last_mark_stays_when_the_next_writer_cannot_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 400);
    let mut first = files.open().unwrap().unwrap();
    first.write(&line("marked")).unwrap();
    first.mark().unwrap();
    first.write(&line("read by somebody")).unwrap();
    drop(first);
    let mut second = files.open().unwrap().unwrap();
    second.break_off(&line("(gap)")).unwrap();
    second.write(&line("new")).unwrap();
    drop(second);
    files.seal().unwrap();
    let all = ["marked", "read by somebody", "(gap)", "new"].map(line).concat();
    assert_eq!(fs::read(&files.log).unwrap(), all);
}

/// The host was booted in between, so that nobody knows how far the tail was written.
#[test]
fn what_follows_a_gap_is_not_mixed_with_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 400);
    let mut first = files.open().unwrap().unwrap();
    for text in ["one", "two", "three", "four", "old"] {
        first.write(&line(text)).unwrap();
    }
    first.mark().unwrap();
    // Goes round, over what was there at the mark, and the host loses its power.
    first.write(&line(&"x".repeat(150))).unwrap();
    drop(first);
    fs::remove_file(files.folder.join("extent")).unwrap();
    let mut second = files.open().unwrap().unwrap();
    second.break_off(&line("(gap)")).unwrap();
    second.write(&line("new")).unwrap();
    second.mark().unwrap();
    files.seal().unwrap();
    let kept = ["one", "two", "three", "four"].map(line).concat();
    let bytes = line("old").len() as u64;
    let omission = Omission { bytes, from: kept.len() as u64, limit: 400 }.line(STAMP);
    let all = [kept, omission, line("(gap)"), line("new")].concat();
    assert_eq!(String::from_utf8(fs::read(&files.log).unwrap()).unwrap(), String::from_utf8(all).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writers are killed at any point, with or without a mark; the next writes again from the mark on.
    #[test]
    fn head_and_tail_are_kept_through_kills(
        limit in 100_usize..600,
        lengths in prop::collection::vec(0_usize..60, 0..40),
        steps in prop::collection::vec((1_usize..5, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let lines: Vec<Vec<u8>> = lengths.iter().map(|length| line(&"x".repeat(*length))).collect();
        let all = lines.concat();
        // Where lines begin.
        let ends: Vec<usize> = lines.iter().scan(0, |end, line| { *end += line.len(); Some(*end) }).collect();
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), limit as u64);
        let mut capture = files.open().unwrap().unwrap();
        for (count, mark, kill) in steps {
            let written = usize::try_from(capture.mark.written).unwrap();
            let next = ends.iter().filter(|end| **end > written).nth(count - 1).copied().unwrap_or(all.len());
            capture.write(&all[written..next]).unwrap();
            if mark {
                capture.mark().unwrap();
            }
            if kill {
                capture = files.open().unwrap().unwrap();
            }
        }
        let written = usize::try_from(capture.mark.written).unwrap();
        capture.write(&all[written..]).unwrap();
        // A seal that is cut off before it is recorded is done again.
        let tail = fs::read(files.tail()).unwrap();
        files.seal().unwrap();
        prop_assert_eq!(fs::read(&files.log).unwrap(), expected(&all, limit));
        let unsealed = Mark { sealed: false, ..files.read_mark().unwrap().unwrap() };
        files.write_mark(&unsealed).unwrap();
        fs::write(files.tail(), tail).unwrap();
        files.seal().unwrap();
        prop_assert_eq!(fs::read(&files.log).unwrap(), expected(&all, limit));
    }
}
