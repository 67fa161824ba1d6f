//! What is measured is sent while somebody watches, and not otherwise.

use std::time::Duration;

use almanac_node::{
    link::Link,
    telemetry::{Reading, Telemetry, stream},
    traffic::Traffic,
};
use almanac_proto::{Endpoint, Identity, limits, v1};
use almanac_schemas::trigger::{Provider, Value, samples::Sample};
use chrono::{DateTime, Utc};
use tokio::{sync::watch, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::harness::World;

/// A sender of its own, of what a test measures.
struct Sender {
    telemetry: Telemetry,
    wanted: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(world: &World) -> Sender {
    let name = world.node.as_str().parse().unwrap();
    let identity = Identity::read(&world.path("key"), name, limits::DEFAULT_AUDIENCE).unwrap();
    let connection = Endpoint::new(&world.reconciler.url(), false).unwrap().connect(Some(identity)).unwrap();
    let (link, _) = Link::new(world.node.clone(), connection);
    let (telemetry, stop) = (Telemetry::new(), CancellationToken::new());
    let (wanted, watched) = watch::channel(false);
    let sender = stream::Sender { link, telemetry: telemetry.clone(), traffic: Traffic::new(None) };
    let task = tokio::spawn(stream::send(sender, watched, stop.clone()));
    Sender { telemetry, wanted, stop, task }
}

fn measured(latency: Option<f64>) -> Reading {
    let sample =
        latency.map(|latency| Sample::from([("pop_ping_latency_ms".to_owned(), Value::Number(latency))]));
    Reading { provider: Provider::Dish, at: DateTime::<Utc>::UNIX_EPOCH, sample }
}

fn numbers(readings: &[v1::Reading]) -> Vec<Option<f64>> {
    let number = |reading: &v1::Reading| match reading.sample.get("pop_ping_latency_ms")?.value {
        Some(v1::measured_value::Value::Number(number)) => Some(number),
        _ => None,
    };
    readings.iter().map(number).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("no {what} in time"));
}

#[test]
fn readings_are_sent_while_they_are_wanted() {
    let world = World::new();
    world.reconciler.watch_telemetry(true);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let sender = start(&world);
        let got = || numbers(&world.reconciler.record().readings);
        sender.telemetry.record(measured(Some(1.0)));
        sender.telemetry.record(measured(Some(2.0)));
        assert_eq!(*sender.telemetry.wanted().borrow(), 0);
        assert_eq!(world.reconciler.record().telemetry_streams, 0);
        sender.wanted.send_replace(true);
        until("first reading", || got() == [Some(2.0)]).await;
        assert_eq!(*sender.telemetry.wanted().borrow(), 1, "what costs something is measured");
        sender.telemetry.record(measured(Some(3.0)));
        until("reading", || got() == [Some(2.0), Some(3.0)]).await;
        sender.telemetry.record(measured(None));
        until("silence", || got() == [Some(2.0), Some(3.0), None]).await;
        until("sign of life", || world.reconciler.record().signs_of_life > 0).await;
        assert_eq!(world.reconciler.record().telemetry_streams, 1);

        sender.wanted.send_replace(false);
        until("end", || *sender.telemetry.wanted().borrow() == 0).await;
        sender.telemetry.record(measured(Some(4.0)));
        world.reconciler.faults().refuse = Some(Code::Internal);
        sender.wanted.send_replace(true);
        until("refused call", || world.reconciler.record().calls["StreamTelemetry"] >= 3).await;
        assert_eq!(got().len(), 3);
        world.reconciler.faults().refuse = None;
        until("another stream", || got().last() == Some(&Some(4.0))).await;

        sender.stop.cancel();
        sender.task.await.unwrap();
        assert_eq!(*sender.telemetry.wanted().borrow(), 0);
    });
}

#[test]
fn an_agent_opens_a_stream_when_it_is_told_to() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait("the agent", |world| (!world.reconciler.record().heartbeats.is_empty()).then_some(()));
    assert_eq!(world.reconciler.record().telemetry_streams, 0);
    world.reconciler.watch_telemetry(true);
    world.wait("a stream", |world| (world.reconciler.record().telemetry_streams == 1).then_some(()));
    // The connection is lost: until somebody says so anew, nobody watches.
    world.reconciler.vanish();
    world.reconciler.come_back();
    world.wait("another stream", |world| (world.reconciler.record().telemetry_streams == 2).then_some(()));
    world.reconciler.watch_telemetry(false);
    world.wait("its end", |world| (world.reconciler.record().telemetry_open == 0).then_some(()));
}
