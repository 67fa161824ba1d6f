use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use almanac_proto::log::{self, plain};

use super::*;

fn files(folder: &Path, limit: u64) -> LogFiles {
    LogFiles { log: folder.join("run.log"), folder: folder.join("log"), limit }
}

fn lines(range: std::ops::Range<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in range {
        let stream = if number % 3 == 0 { Stream::Stderr } else { Stream::Stdout };
        let at = DateTime::from_timestamp(i64::from(number), 0).unwrap();
        log::encode(&mut bytes, &log::stamp(at), stream, format!("{number:07}\n").as_bytes());
    }
    bytes
}

/// Each line of [`lines`] has so many bytes.
const SIZE: u64 = 48;

fn text(piece: &Piece) -> String {
    String::from_utf8(plain(&piece.data)).unwrap()
}

#[test]
fn what_is_written_is_read_before_it_is_marked_and_after_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 100 * SIZE);
    assert_eq!(files.read(From::Offset(0), 1000).unwrap(), Piece::default());
    let mut capture = files.open().unwrap().unwrap();
    capture.write(&lines(0..60)).unwrap();
    let open = files.read(From::Offset(10 * SIZE), usize::MAX).unwrap();
    assert_eq!(
        (open.begin, &open.data, open.written, open.ended),
        (10 * SIZE, &lines(10..60), 60 * SIZE, false)
    );
    let at_the_end = files.read(From::Offset(60 * SIZE), 1000).unwrap();
    assert_eq!((at_the_end.end(), at_the_end.ended), (60 * SIZE, false));
    drop(capture);
    files.seal().unwrap();
    let sealed = files.read(From::Offset(10 * SIZE), usize::MAX).unwrap();
    assert_eq!(sealed, Piece { ended: true, ..open });
}

#[test]
fn what_is_not_kept_is_passed_over_at_the_same_place_before_and_after_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    // The head ends within line 10, the tail begins within line 80 and has gone round three times.
    let files = files(folder.path(), 21 * SIZE);
    let mut capture = files.open().unwrap().unwrap();
    for number in 0..90 {
        capture.write(&lines(number..number + 1)).unwrap();
    }
    let all = |files: &LogFiles| {
        let (mut next, mut pieces) = (0, Vec::new());
        loop {
            let piece = files.read(From::Offset(next), 1).unwrap();
            if piece.data.is_empty() {
                return pieces;
            }
            next = piece.end();
            pieces.push((piece.begin, piece.data));
        }
    };
    let open = all(&files);
    let expected: Vec<(u64, Vec<u8>)> = [(0, lines(0..10)), (80 * SIZE, lines(80..90))].into();
    assert_eq!(open, expected);
    files.seal().unwrap();
    assert_eq!(all(&files), expected);
    let middle = files.read(From::Offset(40 * SIZE), 1000).unwrap();
    assert_eq!((middle.begin, middle.ended), (80 * SIZE, true));
}

#[test]
fn the_last_lines_and_those_since_an_instant_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 1 << 20);
    let mut capture = files.open().unwrap().unwrap();
    capture.write(&lines(0..30)).unwrap();
    let at = |second| Some(DateTime::from_timestamp(second, 0).unwrap());
    let begin =
        |tail, since, stream| files.read(From::Lines { tail, since, stream }, 1000).unwrap().begin / SIZE;
    assert_eq!(begin(Some(4), None, None), 26);
    assert_eq!(begin(Some(0), None, None), 30);
    assert_eq!(begin(Some(100), None, None), 0);
    assert_eq!(begin(Some(2), None, Some(Stream::Stderr)), 24, "27 and 24");
    assert_eq!(begin(None, at(12), None), 12);
    assert_eq!(begin(Some(2), at(12), None), 28);
    assert_eq!(begin(Some(20), at(25), None), 25);
    assert_eq!(begin(None, at(99), None), 30);
    // The pieces of one line are one line.
    let mut pieces = Vec::new();
    for part in ["a ", "long ", "line\n"] {
        log::encode(&mut pieces, &log::stamp(DateTime::UNIX_EPOCH), Stream::Stdout, part.as_bytes());
    }
    capture.write(&pieces).unwrap();
    let last = files.read(From::Lines { tail: Some(1), since: None, stream: None }, 1000).unwrap();
    assert_eq!(text(&last), "a long line\n");
}

/// A writer that goes round and round a small tail, as fast as it can, and a reader beside it.
#[test]
fn what_is_read_while_it_is_written_over_is_in_order_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 400 * SIZE);
    let written = 40_000_u32;
    let done = AtomicBool::new(false);
    let mut seen = 0;
    thread::scope(|scope| {
        let writer = files.clone();
        let done = &done;
        scope.spawn(move || {
            let mut capture = writer.open().unwrap().unwrap();
            for number in 0..written {
                capture.write(&lines(number..number + 1)).unwrap();
            }
            drop(capture);
            writer.seal().unwrap();
            done.store(true, Ordering::Release);
        });
        let mut next = 0;
        loop {
            let piece = files.read(From::Offset(next), 100 * usize::try_from(SIZE).unwrap()).unwrap();
            assert!(piece.begin >= next && piece.begin.is_multiple_of(SIZE));
            let first = u32::try_from(piece.begin / SIZE).unwrap();
            let count = u32::try_from(piece.data.len() as u64 / SIZE).unwrap();
            assert_eq!(piece.data, lines(first..first + count));
            seen += count;
            next = piece.end();
            if piece.ended {
                break;
            }
        }
        assert_eq!(next, u64::from(written) * SIZE);
    });
    assert!(seen >= 200, "{seen} lines");
    assert!(done.load(Ordering::Acquire) && !fs::exists(files.tail()).unwrap());
}
