//! What a node measures is watched at one reconciler while the node is connected to another.

use std::time::Duration;

use almanac_proto::v1;
use tokio::time::timeout;
use tonic::Streaming;

use crate::harness::{Meter, Replica, Testbed, latency, wait_for};

async fn watch(replica: &Replica<'_>, follow: bool) -> Streaming<v1::WatchTelemetryResponse> {
    let request = v1::WatchTelemetryRequest { node: "london-01".to_owned(), follow };
    replica.ask("bob").watch_telemetry(request).await.unwrap().into_inner()
}

/// Waits for an answer in which the dish says this.
async fn until(answers: &mut Streaming<v1::WatchTelemetryResponse>, number: f64) {
    let waiting = async {
        loop {
            let answer = answers.message().await.unwrap().expect("the stream goes on");
            if answer.readings.iter().filter_map(latency).any(|found| found == number) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), waiting).await.expect("an answer in time");
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_node_is_watched_at_another_reconciler_than_its_own() {
    let testbed = Testbed::prepare_on_postgres();
    let commit = testbed.repository.push("users and nodes");
    let one = Replica::start(&testbed, "one").await;
    one.serves(&commit).await;
    let beat = |replica: &Replica<'_>| {
        let mut agent = replica.agent("london-01");
        async move {
            let beat = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
            let mut answers = agent.heartbeat(tokio_stream::iter([beat])).await.unwrap().into_inner();
            answers.message().await.unwrap().unwrap();
        }
    };
    beat(&one).await;
    let other = Replica::start(&testbed, "two").await;
    other.serves(&commit).await;
    beat(&other).await;

    let meter = Meter::start(one.agent("london-01"), "london-01");
    meter.measure(1.0);
    let mut there = watch(&other, true).await;
    until(&mut there, 1.0).await;
    let mut here = watch(&one, true).await;
    until(&mut here, 1.0).await;
    for number in [2.0, 3.0, 4.0] {
        meter.measure(number);
        tokio::join!(until(&mut here, number), until(&mut there, number));
    }
    assert_eq!(meter.streams(), (1, 1), "one stream for all");
    // One who comes later, at a third reconciler, hears what was said before.
    let third = Replica::start(&testbed, "three").await;
    third.serves(&commit).await;
    beat(&third).await;
    until(&mut watch(&third, true).await, 4.0).await;

    // A reconciler that dies is forgotten, and with it those who watched there.
    drop(here);
    other.into_daemon().kill();
    wait_for("the end of the stream", async || (meter.streams() == (1, 0)).then_some(())).await;
}
