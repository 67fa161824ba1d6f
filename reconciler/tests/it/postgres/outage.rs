//! A database that goes away and comes back.

use std::time::Instant;

use crate::harness::{Replica, Server, Testbed, manifest, next, wait_for};

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
        server.restart();
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
