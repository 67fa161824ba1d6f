//! Logs that somebody watches: sent on one stream for as long as they do, from any place, through whatever is cut off.

use std::{fs, time::Duration, time::Instant};

use almanac_proto::{
    convert::timestamp,
    log::{self, Line},
    v1::{LogPiece, StreamLogsResponse},
};
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, World};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// A question for what is at a byte, which waits for it.
fn at(offset: u64) -> StreamLogsResponse {
    let wait = Duration::from_secs(20).try_into().ok();
    StreamLogsResponse { offset, max_bytes: 1 << 20, wait, ..Default::default() }
}

fn text(piece: &LogPiece) -> String {
    String::from_utf8(log::plain(&piece.data)).unwrap()
}

/// Asks until the agent answers, which may have to connect first.
fn ask(world: &mut World, run: &Run, question: StreamLogsResponse) -> LogPiece {
    let key = run.key.clone();
    world.wait("an answer about a log", |world| world.reconciler.ask_log(&key, question))
}

/// Follows a log from a place to its end.
fn follow(world: &mut World, run: &Run, mut offset: u64, log: &mut Vec<u8>) -> u64 {
    loop {
        let piece = ask(world, run, at(offset));
        assert!(!piece.absent, "the log is gone before its end was sent");
        assert_eq!(piece.begin, offset, "nothing is left out");
        log.extend_from_slice(&piece.data);
        offset += piece.data.len() as u64;
        if piece.ended {
            assert_eq!(offset, piece.written);
            return offset;
        }
    }
}

fn a_log_is_sent_while_it_is_written(mut world: World) {
    let script = "for i in $(seq 20); do echo line $i; echo err $i >&2; sleep 0.1; done; printf end";
    world.declare([Job::soon("watched").length("1m").sh(script)]);
    world.start();
    let run = world.wait_phase("watched", Phase::Running);
    assert_eq!(world.reconciler.log_streams(&run.key), 0, "nobody watches");
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    let mut seen = Vec::new();
    let end = follow(&mut world, &run, 0, &mut seen);
    assert_eq!(world.reconciler.log_streams(&run.key), 1, "one stream, however many questions");
    world.reconciler.watch_logs(&[]);
    let run = world.wait_end("watched");
    assert_eq!(run.end(), DONE);
    let stored = world.file(&run, "run.log").unwrap();
    assert_eq!(seen, stored, "what was sent is what is stored");
    assert_eq!(end, stored.len() as u64);
    world.wait_tidy();
}

#[test]
fn a_process_is_watched_while_it_writes() {
    a_log_is_sent_while_it_is_written(World::new());
}

#[test]
#[ignore = "needs docker"]
fn a_container_is_watched_while_it_writes() {
    a_log_is_sent_while_it_is_written(World::with_docker());
}

#[test]
fn what_is_written_arrives_within_a_tenth_of_a_second() {
    let mut world = World::new();
    let script = "for i in $(seq 40); do echo line $i; sleep 0.05; done";
    world.declare([Job::soon("quick").length("1m").sh(script)]);
    world.start();
    let run = world.wait_phase("quick", Phase::Running);
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    let (mut offset, mut took) = (0, Vec::new());
    loop {
        let piece = ask(&mut world, &run, at(offset));
        let now = chrono::Utc::now();
        offset += piece.data.len() as u64;
        if let Some(last) = piece.data.split_inclusive(|byte| *byte == b'\n').next_back() {
            took.push((now - Line::parse(last).unwrap().at().unwrap()).num_milliseconds());
        }
        if piece.ended {
            break;
        }
    }
    took.sort_unstable();
    assert!(took[took.len() / 2] < 100, "{took:?} ms");
}

/// The agent is killed while it sends a log, several times.
fn a_log_goes_on_after_kills(mut world: World) {
    let script = "for i in $(seq 60); do echo line $i; printf 'piece '; echo err $i >&2; sleep 0.1; done";
    world.declare([Job::soon("long").length("2m").sh(script)]);
    world.start();
    let run = world.wait_phase("long", Phase::Running);
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    let (mut offset, mut seen) = (0, Vec::new());
    for _ in 0..4 {
        for _ in 0..5 {
            let piece = ask(&mut world, &run, at(offset));
            assert_eq!(piece.begin, offset);
            seen.extend_from_slice(&piece.data);
            offset += piece.data.len() as u64;
        }
        world.kill();
        world.start();
    }
    follow(&mut world, &run, offset, &mut seen);
    world.reconciler.watch_logs(&[]);
    let run = world.wait_end("long");
    assert_eq!(run.end(), DONE);
    assert_eq!(seen, world.file(&run, "run.log").unwrap(), "no gap and no repeat");
}

#[test]
fn the_log_of_a_process_goes_on_after_kills() {
    a_log_goes_on_after_kills(World::new());
}

#[test]
#[ignore = "needs docker"]
fn the_log_of_a_container_goes_on_after_kills() {
    a_log_goes_on_after_kills(World::with_docker());
}

#[test]
fn only_what_is_asked_for_is_sent() {
    let mut world = World::new();
    let done = world.path("done");
    let script = format!(
        "seq -f %07.0f 1 50000; echo oh >&2; sleep 0.5; seq -f %07.0f 50001 50010; touch {}; sleep 600",
        done.display()
    );
    world.declare([Job::soon("large").length("10m").sh(&script)]);
    world.start();
    let run = world.wait_phase("large", Phase::Running);
    world.wait("its output", |_| done.exists().then_some(()));
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    let mut lines = |tail_lines, since, stream: i32| {
        let question =
            StreamLogsResponse { tail_lines, since, stream, max_bytes: 1 << 20, ..Default::default() };
        ask(&mut world, &run, question)
    };
    let last = lines(Some(3), None, 0);
    assert_eq!(text(&last), "0050008\n0050009\n0050010\n");
    assert_eq!(last.begin + last.data.len() as u64, last.written);
    assert_eq!(lines(Some(0), None, 0).begin, last.written);
    let errors = text(&lines(Some(1), None, 2));
    assert!(errors.starts_with("oh\n") && errors.ends_with("0050010\n"), "{errors}");
    let first = Line::parse(&last.data[..48]).unwrap().at().unwrap();
    let since = text(&lines(None, Some(timestamp(first)), 0));
    assert!(since.ends_with("0050010\n") && !since.contains("oh"), "{since}");
    // A question that asks for little gets a piece of it, in whole lines.
    let question = StreamLogsResponse { max_bytes: 20_000, ..at(0) };
    let piece = ask(&mut world, &run, question);
    assert!(
        piece.data.len() <= 20_000 && text(&piece).starts_with("0000001\n") && piece.data.ends_with(b"\n")
    );
    world.kill();
}

#[test]
fn a_log_keeps_to_the_nodes_rate() {
    let world = World::new();
    let settings = world.path("agent.toml");
    fs::write(&settings, "[policy]\nupload-rate = \"64KiB\"\n").unwrap();
    let mut world = world.option("--config", settings.to_str().unwrap());
    let done = world.path("done");
    let script = format!("seq -f %07.0f 1 10000; touch {}; sleep 600", done.display());
    world.declare([Job::soon("large").length("10m").sh(&script)]);
    world.start();
    let run = world.wait_phase("large", Phase::Running);
    world.wait("its output", |_| done.exists().then_some(()));
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    let begun = Instant::now();
    let mut offset = 0;
    for _ in 0..5 {
        let question = StreamLogsResponse { max_bytes: 64 << 10, ..at(offset) };
        offset += ask(&mut world, &run, question).data.len() as u64;
    }
    // The first goes at once.
    assert!(begun.elapsed() >= Duration::from_millis(3500), "{offset} bytes in {:?}", begun.elapsed());
    world.kill();
}

#[test]
fn a_log_that_is_not_there_is_said_to_be_absent() {
    let mut world = World::new();
    world.declare([Job::soon("short").length("1m").sh("echo over")]);
    world.start();
    let run = world.wait_end("short");
    world.wait_tidy();
    world.reconciler.watch_logs(std::slice::from_ref(&run.key));
    assert!(ask(&mut world, &run, at(0)).absent);
    assert!(!fs::exists(world.state_dir().join("runs").join(&run.key.0)).unwrap());
}
