//! Logs that are watched at one reconciler while their node is connected to another.

use almanac_proto::v1;

use crate::harness::{
    LogSender, Replica, Tail, Testbed, instant, lines, manifest, run_id, wait_for, whole_run,
};

const AT: &str = "2030-01-01T12:00:00Z";

const SIZE: usize = 48;

/// Two reconcilers, and a run that goes on, on a node that is connected to the first.
async fn two_replicas(testbed: &Testbed) -> (Replica<'_>, Replica<'_>, String) {
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("users, nodes and a job");
    let one = Replica::start(testbed, "one").await;
    one.serves(&commit).await;
    let other = Replica::start(testbed, "two").await;
    other.serves(&commit).await;
    let events = whole_run("ping", "london-01", instant(AT))[..2].to_vec();
    let report = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
    one.agent("london-01").report_runs(report).await.unwrap();
    (one, other, run_id("ping", "london-01", instant(AT)))
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_log_is_watched_at_another_reconciler_than_its_nodes() {
    let testbed = Testbed::prepare_on_postgres();
    let (one, other, run) = two_replicas(&testbed).await;
    let sender = LogSender::start(one.agent("london-01"), "london-01", &run);
    // More than goes into one letter, or one answer.
    sender.write(&lines(0..5000));

    let follow = v1::TailLogsRequest { run_id: run.clone(), follow: true, ..Default::default() };
    let mut here = Tail::start(one.ask("bob"), follow.clone()).await.unwrap();
    let mut there = Tail::start(other.ask("bob"), follow.clone()).await.unwrap();
    let last = v1::TailLogsRequest { tail_lines: Some(3), ..follow.clone() };
    let mut last = Tail::start(other.ask("bob"), last).await.unwrap();
    tokio::join!(here.until(5000 * SIZE), there.until(5000 * SIZE), last.until(3 * SIZE));
    assert_eq!(sender.streams(), (1, 1));
    for number in 5000..5050 {
        sender.write(&lines(number..number + 1));
        tokio::join!(here.until((number + 1) * SIZE), there.until((number + 1) * SIZE));
    }

    // The node goes to the other one, with all that it knows.
    one.into_daemon().kill();
    assert!(here.next().await.is_err());
    drop(sender);
    let sender = LogSender::start(other.agent("london-01"), "london-01", &run);
    sender.write(&lines(0..5100));
    there.until(5100 * SIZE).await;
    let mut again =
        Tail::start(other.ask("bob"), v1::TailLogsRequest { offset: here.offset, ..follow }).await.unwrap();
    sender.end();
    for watcher in [&mut there, &mut again, &mut last] {
        watcher.read_all().await;
    }
    assert!(there.data == lines(0..5100), "no gap and no repeat");
    assert!([&here.data[..], &again.data].concat() == there.data);
    assert!(last.data == lines(4997..5100));
    drop((there, again, last));
    wait_for("the end of the stream", async || (sender.streams().1 == 0).then_some(())).await;
}

/// A reconciler at which somebody watches dies without a word: the node sends for nobody for some seconds, and stops.
#[tokio::test]
#[ignore = "needs postgres"]
async fn a_reconciler_that_is_killed_is_forgotten() {
    let testbed = Testbed::prepare_on_postgres();
    let (one, other, run) = two_replicas(&testbed).await;
    let sender = LogSender::start(one.agent("london-01"), "london-01", &run);
    sender.write(&lines(0..5));
    let follow = v1::TailLogsRequest { run_id: run, follow: true, ..Default::default() };
    let mut there = Tail::start(other.ask("bob"), follow).await.unwrap();
    there.until(5 * SIZE).await;
    assert_eq!(sender.streams(), (1, 1));
    other.into_daemon().kill();
    wait_for("the end of the stream", async || (sender.streams() == (1, 0)).then_some(())).await;
}
