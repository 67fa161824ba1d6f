//! What runs write, within its bound.

use std::{fs, os::unix::fs::MetadataExt, process::Command};

use almanac_proto::log::{self, Line, Omission, Stream};
use almanac_schemas::{Phase, Reason};

use crate::harness::{EngineWay, Job, World, docker};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// What numbered lines up to one make.
fn numbered(last: usize) -> String {
    (1..=last).map(|line| format!("{line:07}\n")).collect()
}

/// Looks whether the beginning and the end of everything are kept, in whole lines and within the limit, and the
/// notice in between says how much is missing.
fn assert_bounded(file: &[u8], all: &[u8], limit: usize) {
    let mut at = 0;
    let mut found = None;
    for raw in file.split_inclusive(|byte| *byte == b'\n') {
        let line = Line::parse(raw).unwrap_or_else(|| panic!("no line: {}", String::from_utf8_lossy(raw)));
        if let Some(omission) = Omission::parse(&line, at as u64) {
            assert!(found.replace((omission, at, at + raw.len())).is_none(), "two notices");
        }
        at += raw.len();
    }
    let (omission, end, begin) = found.expect("a notice");
    let (head, tail) = (&file[..end], &file[begin..]);
    let (first, last) = (log::plain(head), log::plain(tail));
    assert_log(&first, &all[..first.len()]);
    assert_log(&last, &all[all.len() - last.len()..]);
    for (part, room) in [(head, limit / 2), (tail, limit - limit / 2)] {
        assert!(part.len() <= room && part.len() + 2 * log::LINE > room, "{} of {room}", part.len());
    }
    let missing = (all.len() - first.len() - last.len()) as u64;
    assert!(omission.bytes > missing && omission.limit == limit as u64, "{omission:?} for {missing}");
}

/// Compares without printing megabytes.
fn assert_log(found: &[u8], expected: &[u8]) {
    let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = &bytes[same.saturating_sub(40).min(bytes.len())..(same + 80).min(bytes.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    assert!(
        found == expected,
        "{} bytes instead of {}, the same up to {same}: {:?} instead of {:?}",
        found.len(),
        expected.len(),
        around(found),
        around(expected),
    );
}

#[test]
fn a_process_that_writes_too_much_keeps_its_beginning_and_its_end() {
    let mut world = World::new().option("--log-limit", "64KiB");
    let script = "seq -f %07.0f 1 100000; printf '\\377\\000end'";
    world.declare([Job::soon("loud").length("1m").sh(script)]);
    world.start();
    let run = world.wait_end("loud");
    assert_eq!(run.end(), DONE);
    let all = [numbered(100_000).as_bytes(), b"\xff\0end"].concat();
    assert_bounded(&world.file(&run, "run.log").unwrap(), &all, 64 << 10);
    world.wait_tidy();
}

#[test]
fn a_process_that_writes_while_no_agent_runs_is_held_to_the_bound_too() {
    let mut world = World::new().option("--log-limit", "64KiB");
    let (go, wrote) = (world.path("go"), world.path("wrote"));
    let script = format!(
        "echo first; while [ ! -e {} ]; do sleep 0.05; done; seq -f %07.0f 1 100000; touch {}; sleep 1; printf last",
        go.display(),
        wrote.display()
    );
    world.declare([Job::soon("loud").length("1m").sh(&script)]);
    world.start();
    world.wait_phase("loud", Phase::Running);
    world.kill();
    fs::write(&go, "").unwrap();
    world.wait("its output", |_| wrote.exists().then_some(()));
    let kept = world.state_dir().join("runs");
    let size: u64 = fs::read_dir(kept)
        .unwrap()
        .flat_map(|run| {
            let run = run.unwrap().path();
            [run.join("outbox/run.log"), run.join("log/tail")]
        })
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(size <= 64 << 10, "{size} bytes are kept");
    world.start();
    let run = world.wait_end("loud");
    let all = format!("first\n{}last", numbered(100_000));
    assert_bounded(&world.file(&run, "run.log").unwrap(), all.as_bytes(), 64 << 10);
    world.wait_tidy();
}

#[test]
fn what_a_process_writes_is_told_apart_and_stamped() {
    let mut world = World::new();
    // Standard output in two pieces of one line, and a last line without an end.
    let script =
        "printf one; sleep 0.3; echo ' more'; sleep 0.3; echo oh >&2; sleep 0.3; printf 'a\\r\\000\\377'";
    world.declare([Job::soon("two").length("1m").sh(script)]);
    world.start();
    let run = world.wait_end("two");
    assert_eq!(run.end(), DONE);
    let file = world.file(&run, "run.log").unwrap();
    let lines: Vec<Line<'_>> =
        file.split_inclusive(|byte| *byte == b'\n').map(|raw| Line::parse(raw).unwrap()).collect();
    let said: Vec<_> = lines.iter().map(|line| (line.stream, line.is_end, line.text)).collect();
    let expected: [(Stream, bool, &[u8]); 4] = [
        (Stream::Stdout, false, b"one"),
        (Stream::Stdout, true, b" more"),
        (Stream::Stderr, true, b"oh"),
        (Stream::Stdout, false, b"a\r\0\xff"),
    ];
    assert_eq!(said, expected);
    let at: Vec<_> = lines.iter().map(|line| line.at().unwrap()).collect();
    for pair in at.windows(2) {
        assert!(pair[1] - pair[0] >= chrono::TimeDelta::milliseconds(250), "{at:?}");
    }
}

#[test]
fn a_process_that_leaves_another_behind_with_its_output_ends_all_the_same() {
    let mut world = World::new();
    let (run, log) =
        world.run("parent", Job::soon("parent").length("1m").sh("echo one; setsid sleep 60 & echo two"));
    assert_eq!(run.end(), DONE);
    assert_eq!(log, "one\ntwo\n");
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_writes_too_much_keeps_its_beginning_and_its_end() {
    let mut world = World::with_docker().option("--log-limit", "1MiB");
    // With pauses, so that a slow reader keeps up.
    let script = r#"
        pad=$(printf %01000d 0); i=0
        while [ $i -lt 4000 ]; do
            i=$((i + 1)); echo $i$pad
            [ $((i % 100)) = 0 ] && sleep 0.05
        done
        printf end
    "#;
    world.declare([Job::soon("loud").length("2m").sh(script)]);
    world.start();
    let run = world.wait_end("loud");
    assert_eq!(run.end(), DONE);
    let mut all: String = (1..=4000).map(|line| format!("{line}{:01000}\n", 0)).collect();
    all.push_str("end");
    assert_bounded(&world.file(&run, "run.log").unwrap(), all.as_bytes(), 1 << 20);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_writes_faster_than_anybody_reads_misses_nothing_silently() {
    let mut world = World::with_docker().option("--log-limit", "512KiB");
    // Not before somebody reads.
    world.declare([Job::soon("loud").length("2m").sh("seq 1000000 1000001; sleep 1; seq 1000002 1800000")]);
    world.start();
    let run = world.wait_end("loud");
    assert_eq!(run.end(), DONE);
    let size = world.file(&run, "run.log").unwrap().len();
    let log = world.log(&run);
    assert!(log.starts_with("1000000\n1000001\n") && log.ends_with("1799999\n1800000\n"));
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    for pair in lines.windows(2) {
        let [before, after] = [pair[0].parse::<u32>(), pair[1].parse::<u32>()];
        // A notice, or a line that was cut where something is left out, is no next number.
        if let [Ok(before), Ok(after)] = [before, after] {
            assert!(
                after == before + 1 || pair[0].len() < 7 || pair[1].len() < 7,
                "{pair:?} without a notice"
            );
        }
    }
    assert!(size <= 513 << 10);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_may_write_any_bytes() {
    let mut world = World::with_docker();
    // Every byte, empty lines, a line longer than the engine's buffer, and no newline at the end.
    let script = r#"
        i=0; while [ $i -lt 256 ]; do printf "\\$(printf %03o $i)"; i=$((i + 1)); done
        echo; echo; head -c 100000 /dev/zero; echo; printf '\303('
    "#;
    world.declare([Job::soon("binary").length("1m").sh(script)]);
    world.start();
    let run = world.wait_end("binary");
    assert_eq!(run.end(), DONE);
    let every: Vec<u8> = (0..=255).collect();
    let all = [&every[..], b"\n\n", &vec![0; 100_000], b"\n\xc3("].concat();
    assert_log(&log::plain(&world.file(&run, "run.log").unwrap()), &all);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_long_log_is_taken_up_where_a_killed_agent_left_it() {
    let mut world = World::with_docker().option("--log-limit", "1MiB");
    // Both streams, and lines that the engine cuts into pieces; so slowly that its copy of 2 MiB and more bridges the start
    // of an agent on a busy machine.
    let script = "for i in $(seq 1 150); do seq $((i * 1000)) $((i * 1000 + 200)); head -c 20000 /dev/zero; echo err $i >&2; sleep 0.1; done";
    world.declare([Job::soon("long").length("2m").sh(script)]);
    world.start();
    world.wait_phase("long", Phase::Running);
    for _ in 0..5 {
        world.kill();
        world.start();
        world.wait_told("the next agent", |record| (record.heartbeats.last()?.generation == 1).then_some(()));
    }
    let run = world.wait_end("long");
    assert_eq!(run.end(), DONE);
    let log = world.file(&run, "run.log").unwrap();
    let mut at = 0;
    let notice = log.split_inclusive(|byte| *byte == b'\n').find_map(|raw| {
        let omission = Omission::parse(&Line::parse(raw)?, at);
        at += raw.len() as u64;
        omission
    });
    // Each line and each piece takes as much room besides its text, and the engine cuts where it always does.
    let line = |text: usize| log::HEAD + text + 1;
    // Some engines forget the newline after such a line, which then is a line of its own.
    let forgets =
        log.split(|byte| *byte == b'\n').any(|raw| Line::parse(raw).is_some_and(|line| line.text.is_empty()));
    let newline = if forgets { line(0) } else { 0 };
    let all: usize = (1..=150_usize)
        .map(|i| {
            let numbers: usize =
                (i * 1000..=i * 1000 + 200).map(|number| line(number.to_string().len())).sum();
            // 20,000 bytes without a newline, and the first number of the next round behind them.
            let next = if i < 150 { ((i + 1) * 1000).to_string().len() } else { 0 };
            let first = if i == 1 { 0 } else { line((i * 1000).to_string().len()) };
            numbers - first
                + line(16 << 10)
                + line(20_000 - (16 << 10) + next)
                + if i < 150 { newline } else { 0 }
                + line(format!("err {i}").len())
        })
        .sum();
    let notice = notice.unwrap();
    let kept = log.len() - notice.line("2026-11-26T04:00:00.000000000Z").len();
    assert_eq!(notice.bytes, (all - kept) as u64, "of {all} bytes");
    assert!(!log.windows(6).any(|window| window == b"engine"), "no gap");
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn what_the_engine_threw_away_while_no_agent_ran_is_said() {
    let mut world = World::with_docker().option("--log-limit", "256KiB");
    let script = "echo first; sleep 2; seq 1000000 1200000; sleep 1; echo last";
    world.declare([Job::soon("loud").length("2m").sh(script)]);
    world.start();
    let run = world.wait_phase("loud", Phase::Running);
    let name = format!("almanac-{}", run.key.0);
    let mark = world.state_dir().join("runs").join(&run.key.0).join("log/mark.json");
    world.wait("its first line", |_| mark.exists().then_some(()));
    world.kill();
    world.wait("its last line", |_| docker(&["logs", "--tail", "1", &name]).contains("last").then_some(()));
    world.start();
    let run = world.wait_end("loud");
    let log = world.log(&run);
    assert!(log.ends_with("1199999\n1200000\nlast\n"), "{}", &log[log.len().saturating_sub(200)..]);
    assert!(log.starts_with("first\n[almanac: the engine kept no more of the log"), "{}", &log[..200]);
    assert!(world.file(&run, "run.log").unwrap().len() < 300 << 10);
}

/// A container that writes chunks of numbered lines, each on a word.
struct Chunks {
    world: World,
    way: EngineWay,
    run: String,
    chunks: usize,
}

/// The lines of a chunk. In the engine's files they take an eighth of one, or so.
const CHUNK: usize = 5_000;

/// The bytes of a line in the log.
const NUMBER: usize = log::HEAD + 8;

impl Chunks {
    fn start() -> Self {
        let world = World::with_docker();
        let (file, way) = (world.path("agent.toml"), EngineWay::open(&world.path("engine.sock")));
        fs::write(&file, format!("docker-host = \"{}\"\nlog-limit = \"1MiB\"", way.host())).unwrap();
        let mut world = world.option("--config", file.to_str().unwrap());
        let script = format!(
            "a=$ALMANAC_ARTIFACTS; at=1000001; n=0; echo 1000000
             while [ ! -e $a/end ]; do
                 if [ -e $a/$n ]; then seq $at $((at + {CHUNK} - 1)); at=$((at + {CHUNK})); n=$((n + 1)); fi
                 sleep 0.02
             done"
        );
        world.declare([Job::soon("chunks").length("5m").sh(&script)]);
        world.start();
        let run = world.wait_phase("chunks", Phase::Running).key.0;
        let mut chunks = Self { world, way, run, chunks: 0 };
        chunks.wait_written();
        chunks
    }

    fn container(&self) -> String {
        format!("almanac-{}", self.run)
    }

    fn word(&self, name: &str) {
        fs::write(self.world.state_dir().join("runs").join(&self.run).join("artifacts").join(name), "")
            .unwrap();
    }

    /// Writes a chunk, and waits until the engine has it.
    fn write(&mut self) {
        self.word(&self.chunks.to_string());
        self.chunks += 1;
        let (container, last) = (self.container(), format!("{}\n", 1_000_000 + self.chunks * CHUNK));
        self.world.wait("the lines of a chunk", |_| {
            (docker(&["logs", "--tail", "1", &container]) == last).then_some(())
        });
    }

    /// Writes chunks until the engine has begun a new file so many times.
    fn write_files(&mut self, files: usize) {
        let id = docker(&["inspect", "--format", "{{.Id}}", &self.container()]);
        let root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
        let file = format!("{}/containers/{}/local-logs/container.log", root.trim(), id.trim());
        let inode = || fs::metadata(&file).unwrap().ino();
        for _ in 0..files {
            let before = inode();
            while inode() == before {
                self.write();
            }
        }
    }

    /// Waits until the agent has written all lines that there are so far.
    fn wait_written(&mut self) {
        let all = (1 + self.chunks * CHUNK) * NUMBER;
        let mark = self.world.state_dir().join("runs").join(&self.run).join("log/mark.json");
        self.world.wait("all lines to be in the log", |_| {
            let mark: serde_json::Value = serde_json::from_slice(&fs::read(&mark).ok()?).ok()?;
            (mark["written"].as_u64()? >= all as u64).then_some(())
        });
    }

    /// The whole log, and how much of it is left out for its length.
    fn end(&mut self) -> (Vec<u8>, u64) {
        self.word("end");
        let run = self.world.wait_end("chunks");
        assert_eq!(run.end(), DONE, "{:?}", run.last());
        let log = self.world.file(&run, "run.log").unwrap();
        let mut at = 0;
        let omission = log.split_inclusive(|byte| *byte == b'\n').find_map(|raw| {
            let omission = Omission::parse(&Line::parse(raw)?, at);
            at += raw.len() as u64;
            omission
        });
        let omission = omission.expect("a notice");
        let kept = log.len() - omission.line("2026-11-26T04:00:00.000000000Z").len();
        self.world.wait_tidy();
        (log, omission.bytes + kept as u64)
    }
}

/// The engine opens its file and watches it only after its reader has taken what is there. When another is begun meanwhile, it
/// sees nothing of that one, and goes on with the next.
#[test]
#[ignore = "needs docker"]
fn a_file_that_the_engine_leaves_out_since_its_reader_is_slow_is_not_missing() {
    let mut chunks = Chunks::start();
    // More than fits into the sockets in between.
    for _ in 0..5 {
        chunks.write();
    }
    chunks.wait_written();
    chunks.world.kill();
    let begun = chunks.way.begun();
    chunks.way.hold(true);
    chunks.world.start();
    let way = &chunks.way;
    chunks.world.wait("the engine to pass on the log", |_| (way.begun() > begun).then_some(()));
    chunks.write_files(1);
    chunks.way.hold(false);
    // It is noticed without anything more being written, and also where more is.
    chunks.wait_written();
    chunks.write_files(2);
    chunks.wait_written();
    let lines = 1 + chunks.chunks * CHUNK;
    let (log, bytes) = chunks.end();
    assert_eq!(bytes, (lines * NUMBER) as u64, "of {lines} lines");
    assert!(!log.windows(6).any(|window| window == b"engine"), "no gap");
}

#[test]
#[ignore = "needs docker"]
fn what_a_container_writes_while_its_agent_stands_still_is_not_missing_without_a_notice() {
    let mut chunks = Chunks::start();
    let signal = |chunks: &Chunks, name: &str| {
        let id = chunks.world.agent.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal(&chunks, "-STOP");
    chunks.write_files(4);
    signal(&chunks, "-CONT");
    chunks.write();
    let lines = 1 + chunks.chunks * CHUNK;
    let (log, bytes) = chunks.end();
    let text = String::from_utf8(log::plain(&log)).unwrap();
    assert!(bytes < (lines * NUMBER) as u64, "the engine keeps three files");
    assert!(text.contains("[almanac: the engine kept no more of the log"), "{bytes} bytes of {lines} lines");
    let numbers: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    for pair in numbers.windows(2) {
        if let [Ok(before), Ok(after)] = [pair[0].parse::<usize>(), pair[1].parse::<usize>()] {
            assert_eq!(after, before + 1, "without a notice");
        }
    }
    assert!(text.ends_with(&format!("{}\n", 1_000_000 + lines - 1)), "its end is there");
}
