//! Logs that somebody watches: one stream of the node, however many do; from any place, through restarts, to the end.

use almanac_proto::{
    log::{Omission, plain, stamp},
    v1::{self, Phase},
};
use chrono::DateTime;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::harness::{LogSender, Tail, Testbed, event, instant, lines, run_id, whole_run};

const AT: &str = "2030-01-01T12:00:00Z";

/// Each of [`lines`] has so many bytes.
const SIZE: usize = 48;

/// A run of `bob`'s job on London that goes on, and its log.
async fn running(testbed: &Testbed) -> (String, LogSender) {
    testbed.report("london-01", whole_run("ping", "london-01", instant(AT))[..2].to_vec()).await;
    testbed.beat("london-01", "", 0).await;
    let run = run_id("ping", "london-01", instant(AT));
    let sender = LogSender::start(testbed.agent("london-01"), "london-01", &run);
    (run, sender)
}

fn follow(run: &str) -> v1::TailLogsRequest {
    v1::TailLogsRequest { run_id: run.to_owned(), follow: true, ..Default::default() }
}

async fn watch(testbed: &Testbed, request: v1::TailLogsRequest) -> Tail {
    Tail::start(testbed.ask("bob"), request).await.unwrap()
}

/// Stores a log, as an agent does when its run has ended.
async fn store(testbed: &Testbed, run: &str, content: &[u8]) {
    let request = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run.to_owned(),
        role: v1::Role::Client.into(),
        name: "run.log".to_owned(),
        size: content.len() as u64,
        sha256: Sha256::digest(content).to_vec().into(),
        content: Some(bytes::Bytes::copy_from_slice(content)),
        direct: false,
    };
    testbed.agent("london-01").begin_upload(request).await.unwrap();
}

#[tokio::test]
async fn several_watchers_cost_the_node_one_stream() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..1000));
    let mut watchers = Vec::new();
    for _ in 0..3 {
        let mut watcher = watch(&testbed, follow(&run[..8])).await;
        watcher.until(1000 * SIZE).await;
        watchers.push(watcher);
    }
    // The one who begins at the end gets nothing of what was before.
    let last = v1::TailLogsRequest { tail_lines: Some(2), ..follow(&run) };
    let mut last = watch(&testbed, last).await;
    last.until(2 * SIZE).await;
    assert_eq!(last.data, lines(998..1000));
    let before = sender.sent();
    for number in 1000..1200 {
        sender.write(&lines(number..number + 1));
        for watcher in &mut watchers {
            watcher.until((number + 1) * SIZE).await;
        }
    }
    last.until(202 * SIZE).await;
    assert_eq!(sender.sent() - before, 200 * SIZE as u64, "what is new is sent once");
    for watcher in &mut watchers {
        assert_eq!((&watcher.data, watcher.left_out), (&lines(0..1200), 0));
    }
    assert_eq!(sender.streams(), (1, 1));
    drop((watchers, last));
    testbed.wait_for("the end of the stream", async || (sender.streams() == (1, 0)).then_some(())).await;
    // Nobody watches: nothing is sent.
    let sent = sender.sent();
    sender.write(&lines(0..10));
    testbed.beat("london-01", "", 0).await;
    assert_eq!(sender.sent(), sent);
}

#[tokio::test]
async fn a_watcher_who_does_not_read_holds_up_nobody_and_fills_no_memory() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..10));
    let mut slow = watch(&testbed, follow(&run)).await;
    slow.until(10 * SIZE).await;
    let mut quick = watch(&testbed, follow(&run)).await;
    quick.until(10 * SIZE).await;
    let before = testbed.memory();
    // 24 MB, a hundred times of what is kept for those who read.
    let (step, steps) = (10_000, 50);
    for number in 0..steps {
        sender.write(&lines(10 + number * step..10 + (number + 1) * step));
        quick.until((10 + (number + 1) * step) * SIZE).await;
    }
    let more = testbed.peak_memory().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes more of memory");
    sender.end();
    quick.read_all().await;
    slow.read_all().await;
    assert!(slow.data == lines(0..10 + steps * step), "he gets all of it, when he reads");
    assert!(quick.data == slow.data);
}

#[tokio::test]
async fn a_watcher_goes_on_where_a_killed_reconciler_stopped() {
    let mut testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..100));
    let mut seen = watch(&testbed, follow(&run)).await;
    seen.until(100 * SIZE).await;
    testbed.crash_and_serve().await;
    assert!(seen.next().await.is_err());
    // Its port is another one now.
    drop(sender);
    let sender = LogSender::start(testbed.agent("london-01"), "london-01", &run);
    sender.write(&lines(0..150));
    let mut again = watch(&testbed, v1::TailLogsRequest { offset: seen.offset, ..follow(&run) }).await;
    again.until(50 * SIZE).await;
    sender.end();
    again.read_all().await;
    assert_eq!([seen.data, again.data].concat(), lines(0..150));
}

#[tokio::test]
async fn what_the_node_does_not_keep_is_told() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..100));
    sender.forget(40 * SIZE);
    let mut late =
        watch(&testbed, v1::TailLogsRequest { offset: Some(10 * SIZE as u64), ..follow(&run) }).await;
    late.until(60 * SIZE).await;
    assert_eq!((late.data.clone(), late.left_out), (lines(40..100), 30 * SIZE as u64));
    // Stored, it goes on at the same places.
    let omission = Omission { bytes: 40 * SIZE as u64, from: 0, limit: 1 };
    let content = [omission.line(&stamp(DateTime::UNIX_EPOCH)), lines(40..110)].concat();
    store(&testbed, &run, &content).await;
    let mut stored = watch(&testbed, v1::TailLogsRequest { offset: late.offset, ..follow(&run) }).await;
    stored.read_all().await;
    assert_eq!((stored.data, stored.left_out), (lines(100..110), 0));
    let mut whole = watch(&testbed, follow(&run)).await;
    whole.read_all().await;
    assert_eq!(whole.data, content);
}

#[tokio::test]
async fn who_does_not_follow_gets_what_there_is() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..20_000));
    let now = v1::TailLogsRequest { follow: false, ..follow(&run) };
    let mut all = watch(&testbed, now.clone()).await;
    all.read_all().await;
    assert!(all.data == lines(0..20_000));
    let mut last = watch(&testbed, v1::TailLogsRequest { tail_lines: Some(3), ..now.clone() }).await;
    last.read_all().await;
    assert_eq!(last.data, lines(19_997..20_000));
    let mut none = watch(&testbed, v1::TailLogsRequest { tail_lines: Some(0), ..now }).await;
    none.read_all().await;
    assert_eq!((none.data.len(), none.offset), (0, Some(20_000 * SIZE as u64)));
}

#[tokio::test]
async fn a_run_that_has_not_begun_and_a_node_that_is_silent_are_waited_for() {
    let testbed = Testbed::with_jobs().await;
    let run = run_id("ping", "london-01", instant(AT));
    testbed.report("london-01", whole_run("ping", "london-01", instant(AT))[..1].to_vec()).await;
    let now = v1::TailLogsRequest { follow: false, ..follow(&run) };
    let mut refused = watch(&testbed, now.clone()).await;
    let refused = refused.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let mut waiting = watch(&testbed, follow(&run)).await;
    assert!(!waiting.next().await.unwrap());
    assert!(waiting.waiting[0].contains("`london-01` was not heard of"), "{:?}", waiting.waiting);
    testbed.beat("london-01", "", 0).await;
    assert!(!waiting.next().await.unwrap());
    assert!(waiting.waiting[1].contains("is DEPLOYING: it has not begun"), "{:?}", waiting.waiting);
    // It begins, and its node does not say what it writes.
    testbed.report("london-01", vec![event("ping", "london-01", instant(AT), 2, Phase::Running)]).await;
    assert!(!waiting.next().await.unwrap());
    assert!(waiting.waiting[2].contains("does not send"), "{:?}", waiting.waiting);
    let mut impatient = watch(&testbed, now).await;
    let refused = impatient.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let sender = LogSender::start(testbed.agent("london-01"), "london-01", &run);
    sender.write(&lines(0..3));
    waiting.until(3 * SIZE).await;
    sender.end();
    waiting.read_all().await;
    assert_eq!(waiting.data, lines(0..3));
}

/// An agent that was killed before it sent the end, and has stored and removed the log since.
#[tokio::test]
async fn a_log_that_its_node_has_not_any_more_is_followed_from_the_store() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..5));
    let mut watcher = watch(&testbed, follow(&run)).await;
    watcher.until(5 * SIZE).await;
    sender.remove();
    // It is not stored for a moment.
    testbed.beat("london-01", "", 0).await;
    store(&testbed, &run, &lines(0..8)).await;
    watcher.read_all().await;
    assert_eq!(watcher.data, lines(0..8));
}

#[tokio::test]
async fn a_run_that_ends_without_its_node_is_followed_from_the_store() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..5));
    let mut watcher = watch(&testbed, follow(&run)).await;
    watcher.until(5 * SIZE).await;
    drop(sender);
    store(&testbed, &run, &lines(0..8)).await;
    watcher.read_all().await;
    assert_eq!(watcher.data, lines(0..8));
}

#[tokio::test]
async fn a_log_of_before_and_no_log_at_all_are_answers() {
    let testbed = Testbed::with_jobs().await;
    let (run, _sender) = running(&testbed).await;
    let content = b"64 bytes from 192.0.2.1\nno end";
    store(&testbed, &run, content).await;
    testbed.report("london-01", whole_run("ping", "london-01", instant(AT))[2..].to_vec()).await;
    let mut stored = watch(&testbed, follow(&run)).await;
    stored.read_all().await;
    assert_eq!((plain(&stored.data), stored.data), (content.to_vec(), content.to_vec()));
    let mut last = watch(&testbed, v1::TailLogsRequest { tail_lines: Some(1), ..follow(&run) }).await;
    last.read_all().await;
    assert_eq!(last.data, b"no end");

    let later = instant("2030-01-01T13:00:00Z");
    let mut missed = event("ping", "london-01", later, 1, Phase::Missed);
    missed.reason = v1::Reason::NodeOffline.into();
    testbed.report("london-01", vec![missed]).await;
    let mut none = watch(&testbed, follow(&run_id("ping", "london-01", later))).await;
    let refused = none.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("ended MISSED (node_offline) and left no log: step 1"), "{refused:?}");
    let server = v1::TailLogsRequest { role: v1::Role::Server.into(), ..follow(&run) };
    let refused = testbed.ask("bob").tail_logs(server).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn nobody_sends_the_log_of_another_node() {
    let testbed = Testbed::with_jobs().await;
    let (run, sender) = running(&testbed).await;
    sender.write(&lines(0..3));
    let intruder = LogSender::start(testbed.agent("paris-01"), "paris-01", &run);
    intruder.write(b"2030-01-01T12:00:00Z stdout F a lie\n");
    let mut watcher = watch(&testbed, follow(&run)).await;
    watcher.until(3 * SIZE).await;
    // It opens a stream by itself, and is asked nothing.
    let first = v1::StreamLogsRequest {
        node: "paris-01".to_owned(),
        run_id: run.clone(),
        role: v1::Role::Client.into(),
        piece: None,
    };
    let stream = testbed.agent("paris-01").stream_logs(tokio_stream::iter([first])).await.unwrap();
    assert_eq!(stream.into_inner().message().await.unwrap(), None);
    sender.end();
    watcher.read_all().await;
    assert_eq!((watcher.data, intruder.streams().0), (lines(0..3), 0));
}
