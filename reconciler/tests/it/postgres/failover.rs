//! A leader that ends, or is not itself for a while.

use std::time::{Duration, Instant};

use almanac_proto::v1::{self, SyncOutcome};

use crate::harness::{Replica, Testbed, Wire, manifest, next, wait_for};

/// Within this another one leads.
const LIMIT: Duration = Duration::from_secs(10);

/// A leader at an address of the database, and one that stands by and serves the same.
async fn pair<'a>(testbed: &'a Testbed, database: &str) -> (Replica<'a>, Replica<'a>) {
    let commit = testbed.repository.push("users and nodes");
    let leader = Replica::start_at(testbed, "one", database).await;
    leader.serves(&commit).await;
    let standby = Replica::start(testbed, "two").await;
    standby.serves(&commit).await;
    standby.stands_by().await;
    (leader, standby)
}

/// Pushes, and waits until a replica has applied it, once.
async fn applies(testbed: &Testbed, replica: &Replica<'_>, name: &str) {
    let count = replica.syncs().await.len();
    testbed.write_job(name, "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push(name);
    replica.serves(&commit).await;
    let syncs = replica.syncs().await;
    assert_eq!(syncs.len(), count + 1, "{syncs:?}");
    assert_eq!(syncs[0], (name.to_owned(), SyncOutcome::Applied));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn when_the_leader_is_killed_another_one_leads() {
    let testbed = Testbed::prepare_on_postgres();
    let (mut leader, mut standby) = pair(&testbed, testbed.database()).await;
    let (mut stream, _) = standby.watch("london-01").await;
    for turn in 0..3 {
        leader.into_daemon().kill();
        let killed = Instant::now();
        // What is pushed while nobody leads is not forgotten.
        testbed.write_job(&format!("orphan-{turn}"), "bob", "paris-01", manifest::HOURLY);
        let commit = testbed.repository.push("while nobody leads");
        let term = standby.leads().await;
        let took = killed.elapsed();
        println!("another one led {took:?} after the leader was killed");
        assert!(took < LIMIT, "{took:?}");
        assert_eq!(term, turn + 2);
        standby.serves(&commit).await;
        applies(&testbed, &standby, &format!("job-{turn}")).await;
        // The streams of the one that stood by went on.
        assert_eq!(next(&mut stream).await.assignments.len(), usize::try_from(turn).unwrap() + 1);
        leader = standby;
        standby = Replica::start(&testbed, &format!("more-{turn}")).await;
        standby.stands_by().await;
        (stream, _) = standby.watch("london-01").await;
    }
    let syncs = standby.syncs().await;
    assert_eq!(syncs.len(), 7, "each push was applied once: {syncs:?}");
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, standby) = pair(&testbed, testbed.database()).await;
    let told = Instant::now();
    let ended = leader.into_daemon();
    ended.signal("TERM");
    standby.leads().await;
    let took = told.elapsed();
    println!("another one led {took:?} after the leader was told to stop");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(ended.terminate().await.success());
    applies(&testbed, &standby, "job").await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_leader_that_stood_still_does_no_harm_when_it_goes_on() {
    let testbed = Testbed::prepare_on_postgres();
    let (old, new) = pair(&testbed, testbed.database()).await;
    old.daemon().signal("STOP");
    let stopped = Instant::now();
    new.leads().await;
    let took = stopped.elapsed();
    println!("another one led {took:?} after the leader stood still");
    assert!(took < LIMIT, "{took:?}");
    applies(&testbed, &new, "meanwhile").await;

    // The first thing that the old one sees is a push, which it takes to be its own to apply.
    testbed.write_job("both", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("for both");
    old.daemon().signal("CONT");
    new.serves(&commit).await;
    old.stands_by().await;
    old.serves(&commit).await;
    let subjects: Vec<_> = old.syncs().await.into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["for both", "meanwhile", "users and nodes"]);
    assert_eq!(new.status().await.unwrap().look_error, "");
    applies(&testbed, &new, "later").await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_leader_that_cannot_reach_the_database_steps_down() {
    let testbed = Testbed::prepare_on_postgres();
    let port = testbed.database().parse::<sqlx::postgres::PgConnectOptions>().unwrap().get_port();
    let network = Wire::to(port).await;
    let (old, new) = pair(&testbed, &testbed.database_through(network.port())).await;
    let (mut stream, _) = old.watch("london-01").await;
    network.cut();
    let cut = Instant::now();
    let term = new.leads().await;
    let took = cut.elapsed();
    println!("another one led {took:?} after the leader lost the database");
    assert!(took < LIMIT, "{took:?}");
    assert_eq!(term, 2);
    applies(&testbed, &new, "meanwhile").await;
    wait_for("the old leader to step down", async || {
        old.daemon().check();
        old.daemon().log().contains("does not lead any more").then_some(())
    })
    .await;

    network.mend();
    old.stands_by().await;
    // Its agents kept their streams, and are told what they missed.
    assert_eq!(next(&mut stream).await.assignments.len(), 1);
    let mut alice = old.ask("alice");
    let sync = alice.sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!((sync.subject.as_str(), sync.outcome()), ("meanwhile", SyncOutcome::Applied));
    assert_eq!(new.syncs().await.len(), 2);
}
