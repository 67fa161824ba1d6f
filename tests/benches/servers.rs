//! How long a client waits for its server where the server needs no time: from the request of its agent until it knows that
//! the server is ready, through the reconciler and the streams of both agents, and back.
//!
//! `cargo bench -p almanac-tests --bench servers --profile dev`, with the real reconciler on SQLite; the agents are scripted, on loopback.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::time::{Duration, Instant};

use almanac_proto::{
    Connection, Endpoint, Identity, convert, limits,
    v1::{self, TaskNews, TaskState},
};
use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// How many runs there are, each of a job of its own.
const TIMES: usize = 100;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut testbed = Testbed::start(Runtime::Process);
    let at = soon(20);
    for number in 0..TIMES {
        let name = format!("pair-{number}");
        let server = "  server: { node: paris-01, container: { image: x }, ready: { timeout: 60s } }\n";
        let job = Job::once(&name, "london-01", at, "10m", "true").yaml() + server;
        testbed.repository.write(&format!("jobs/{name}.yaml"), job);
    }
    testbed.push("pairs");
    let connect = |node: &str| -> Connection {
        let identity =
            Identity::read(&testbed.key(node), node.parse().unwrap(), limits::DEFAULT_AUDIENCE).unwrap();
        Endpoint::new(&testbed.server(), false).unwrap().connect(Some(identity)).unwrap()
    };
    let (london, paris) = (connect("london-01"), connect("paris-01"));
    let serving = tokio::spawn(serve(paris));
    let mut took = Vec::new();
    for number in 0..TIMES {
        let request = v1::RequestServerRequest {
            node: "london-01".to_owned(),
            job: format!("pair-{number}"),
            scheduled_at: Some(convert::timestamp(at)),
        };
        let begun = Instant::now();
        let mut standing = london.node().request_server(request).await.unwrap().into_inner();
        let run_id = loop {
            let task = standing.message().await.unwrap().unwrap().task.unwrap();
            if task.state() == TaskState::Ready {
                break task.run_id;
            }
        };
        took.push(begun.elapsed());
        // A node may ask for so many servers at a time, and no more.
        let request = v1::UpdateTaskRequest {
            node: "london-01".to_owned(),
            run_id,
            news: TaskNews::Released.into(),
            ..Default::default()
        };
        london.node().update_task(request).await.unwrap();
    }
    serving.abort();
    took.sort();
    let at = |share: usize| -> Duration { took[TIMES * share / 100] };
    println!(
        "from the request to the answer, of {TIMES}: p50 {:?}, p90 {:?}, p99 {:?}",
        at(50),
        at(90),
        at(99)
    );
}

/// Says of each server that is wanted that it is ready.
async fn serve(paris: Connection) {
    let request = v1::WatchDesiredStateRequest { node: "paris-01".to_owned(), ..Default::default() };
    let mut stream = paris.node().watch_desired_state(request).await.unwrap().into_inner();
    while let Some(message) = stream.message().await.unwrap() {
        for task in message.tasks.unwrap_or_default().tasks {
            if task.state() == TaskState::Requested {
                let mut client = paris.node();
                let news = v1::UpdateTaskRequest {
                    node: "paris-01".to_owned(),
                    run_id: task.run_id,
                    news: TaskNews::Ready.into(),
                    ..Default::default()
                };
                client.update_task(news).await.unwrap();
            }
        }
    }
}
