//! A database that goes away and comes back.

use std::time::{Duration, Instant};

use almanac_proto::v1;
use tonic::Code;

use crate::harness::{Replica, Server, Testbed, Wire, event, manifest, next, wait_for};

/// Within this a call is answered while the database is known to be away.
const LIMIT: Duration = Duration::from_secs(3);

const LOST: &str = "the database cannot be reached; trying again";
const FOUND: &str = "the database is reached again";

/// How often the log says something.
fn said(testbed: &Testbed, text: &str) -> usize {
    testbed.log().matches(text).count()
}

async fn until_said(testbed: &Testbed, text: &str) {
    testbed.wait_for(text, async || (said(testbed, text) > 0).then_some(())).await;
}

/// Everything that needs the database is refused soon, however many ask.
async fn calls_are_refused_soon(testbed: &Testbed) {
    let runs = async || {
        let begun = Instant::now();
        let error = testbed.ask("alice").list_runs(v1::ListRunsRequest::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
        assert!(error.message().contains("database"), "{error:?}");
        begun.elapsed()
    };
    let took = futures::future::join_all((0..32).map(|_| runs())).await.into_iter().max().unwrap();
    println!("the slowest of 32 calls was refused after {took:?}");
    assert!(took < LIMIT, "{took:?}");

    let begun = Instant::now();
    let events = vec![event("ping", "london-01", chrono::Utc::now(), 1, v1::Phase::Deploying)];
    let request = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
    let error = testbed.agent("london-01").report_runs(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());

    // What waits for a look is told as soon.
    let begun = Instant::now();
    let looked = testbed.ask("alice").sync_now(v1::SyncNowRequest {}).await;
    let sync = looked.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.outcome(), v1::SyncOutcome::Failed, "{sync:?}");
    println!("a look was refused after {:?}", begun.elapsed());
    assert!(begun.elapsed() < 2 * LIMIT, "{:?}", begun.elapsed());
}

/// The database is back, and all is as before.
async fn goes_on(testbed: &Testbed) {
    until_said(testbed, FOUND).await;
    testbed.write_job("later", "bob", "london-01", manifest::HOURLY);
    testbed.push("when it is back").await;
    assert_eq!((said(testbed, LOST), said(testbed, FOUND)), (1, 1), "{}", testbed.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn while_the_database_is_away_calls_are_refused_soon_and_the_log_says_it_once() {
    let server = Server::start();
    let mut testbed = Testbed::prepare_on_server(&server);
    let commit = testbed.repository.push("users and nodes");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    server.halt();
    until_said(&testbed, LOST).await;
    calls_are_refused_soon(&testbed).await;
    // Long enough for everything that goes on by itself to have failed again and again.
    let failed = "almanac_database_errors_total{operation=\"heartbeats\"} 3";
    testbed
        .wait_for("heartbeats to fail three times", async || {
            testbed.get("/metrics").await.1.contains(failed).then_some(())
        })
        .await;
    assert!(said(&testbed, "cannot write heartbeats") <= 1, "{}", testbed.log());
    server.resume();
    goes_on(&testbed).await;
}

/// A network that loses everything is noticed by what does not come back.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_database_that_does_not_answer_is_known_to_be_away() {
    let mut testbed = Testbed::prepare_on_postgres();
    let port = testbed.database().parse::<sqlx::postgres::PgConnectOptions>().unwrap().get_port();
    let network = Wire::to(port).await;
    let commit = testbed.repository.push("users and nodes");
    let mut command = testbed.command(&["serve", "--poll-interval", "1h", "--listen", "127.0.0.1:0"]);
    command.env("ALMANAC_RECONCILER_DATABASE", testbed.database_through(network.port()));
    testbed.spawn("http", command).await;
    testbed.wait_applied(&commit).await;
    network.cut();
    until_said(&testbed, LOST).await;
    calls_are_refused_soon(&testbed).await;
    network.mend();
    goes_on(&testbed).await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn reconcilers_outlive_a_restart_of_the_database() {
    let server = Server::start();
    let testbed = Testbed::prepare_on_server(&server);
    let commit = testbed.repository.push("users and nodes");
    let one = Replica::start(&testbed, "one").await;
    one.serves(&commit).await;
    let two = Replica::start(&testbed, "two").await;
    two.serves(&commit).await;
    let mut streams = [one.watch("london-01").await.0, two.watch("london-01").await.0];
    for turn in 1..=2 {
        server.halt();
        server.resume();
        let restarted = Instant::now();
        testbed.write_job(&format!("job-{turn}"), "bob", "london-01", manifest::HOURLY);
        let commit = testbed.repository.push("after the restart");
        one.serves(&commit).await;
        two.serves(&commit).await;
        println!("both served a push {:?} after the database was back", restarted.elapsed());
        for stream in &mut streams {
            assert_eq!(next(stream).await.assignments.len(), turn);
        }
        wait_for("exactly one to lead", async || {
            let leaders = [one.term().await, two.term().await];
            (leaders.iter().flatten().count() == 1).then_some(())
        })
        .await;
        assert_eq!(one.syncs().await.len(), turn + 1);
    }
}
