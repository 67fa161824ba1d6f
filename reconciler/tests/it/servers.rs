//! Pairs of a client and a server: who may want and answer what, and that a task outlives everybody but its two sides.

use std::time::{Duration, Instant};

use almanac_proto::{
    client::Signed,
    convert::timestamp,
    v1::{self, Reason, TaskNews, TaskState, node_service_client::NodeServiceClient},
};
use chrono::{DateTime, SubsecRound, Utc};
use tonic::{Code, Status, Streaming};

use crate::harness::{Testbed, event, manifest, run_id};

pub(crate) type Standing = Streaming<v1::RequestServerResponse>;

/// A run that is due, of a job of `bob` with its client in London and its server in Paris, and one of `carol` with a client
/// in Rome.
pub(crate) struct Pair {
    at: DateTime<Utc>,
}

impl Pair {
    /// Declares it, with a node that has nothing to do with it.
    pub(crate) fn declare(testbed: &Testbed, timeout: &str) -> Self {
        let at = (Utc::now() + Duration::from_secs(1)).trunc_subsecs(0);
        let schedule = format!("{{ at: {}, length: 2m }}", at.to_rfc3339());
        let job = |name: &str, owner: &str, client: &str, server: &str| {
            let text = manifest::served_job(name, owner, client, server, &schedule);
            let text = text.replace("timeout: 60s", &format!("timeout: {timeout}"));
            testbed.repository.write(&format!("jobs/{name}.yaml"), text);
        };
        for name in ["rome-01", "oslo-01"] {
            let key = testbed.make_key(name);
            testbed.repository.write(&format!("nodes/{name}.yaml"), manifest::node(name, &key, ""));
        }
        job("iperf", "bob", "london-01", "paris-01");
        job("other", "carol", "rome-01", "oslo-01");
        Self { at }
    }

    fn run(&self) -> String {
        run_id("iperf", "london-01", self.at)
    }

    fn request(&self, node: &str) -> v1::RequestServerRequest {
        v1::RequestServerRequest {
            node: node.to_owned(),
            job: "iperf".to_owned(),
            scheduled_at: Some(timestamp(self.at)),
        }
    }

    /// The client wants its server.
    pub(crate) async fn want(&self, mut london: NodeServiceClient<Signed>) -> Standing {
        london.request_server(self.request("london-01")).await.unwrap().into_inner()
    }

    pub(crate) async fn say(
        &self,
        mut agent: NodeServiceClient<Signed>,
        node: &str,
        news: TaskNews,
        message: &str,
    ) -> Result<TaskState, Status> {
        let request = v1::UpdateTaskRequest {
            node: node.to_owned(),
            run_id: self.run(),
            news: news.into(),
            message: message.to_owned(),
            ..Default::default()
        };
        Ok(agent.update_task(request).await?.into_inner().task.unwrap().state())
    }
}

async fn next<T>(stream: &mut Streaming<T>) -> T {
    let message = tokio::time::timeout(Duration::from_secs(60), stream.message()).await.expect("a message");
    message.unwrap().expect("the stream goes on")
}

pub(crate) async fn standing(stream: &mut Standing) -> (TaskState, String) {
    let task = next(stream).await.task.unwrap();
    (task.state(), task.message)
}

/// Waits until a node is told of tasks, and returns their states.
pub(crate) async fn told(stream: &mut Streaming<v1::WatchDesiredStateResponse>) -> Vec<TaskState> {
    loop {
        if let Some(tasks) = next(stream).await.tasks {
            return tasks.tasks.iter().map(v1::Task::state).collect();
        }
    }
}

async fn testbed(timeout: &str) -> (Testbed, Pair) {
    let mut testbed = Testbed::prepare();
    let pair = Pair::declare(&testbed, timeout);
    let commit = testbed.repository.push("a pair");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    (testbed, pair)
}

#[tokio::test]
async fn what_a_client_wants_reaches_its_server_and_the_answer_reaches_the_client() {
    let (testbed, pair) = testbed("60s").await;
    let mut paris = testbed.watch("paris-01").await;
    assert_eq!(told(&mut paris).await, []);
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
    let tasks = next(&mut paris).await.tasks.unwrap();
    let task = &tasks.tasks[0];
    assert_eq!((task.run_id.as_str(), task.client.as_str()), (pair.run().as_str(), "london-01"));
    let ready = pair.say(testbed.agent("paris-01"), "paris-01", TaskNews::Ready, "").await.unwrap();
    assert_eq!(ready, TaskState::Ready);
    assert_eq!(standing(&mut client).await.0, TaskState::Ready);
    assert_eq!(told(&mut paris).await, [TaskState::Ready]);
    let released = pair.say(testbed.agent("london-01"), "london-01", TaskNews::Released, "").await;
    assert_eq!(released.unwrap(), TaskState::Released);
    assert_eq!(standing(&mut client).await.0, TaskState::Released);
    assert!(client.message().await.unwrap().is_none(), "nothing comes after the end");
    assert_eq!(told(&mut paris).await, [TaskState::Released]);
    // What comes after the end changes nothing, and is no error: its answer may have been lost.
    for (node, news) in
        [("paris-01", TaskNews::Ready), ("paris-01", TaskNews::Failed), ("london-01", TaskNews::Released)]
    {
        let after = pair.say(testbed.agent(node), node, news, "late").await;
        assert_eq!(after.unwrap(), TaskState::Released, "{node} {news:?}");
    }
}

#[tokio::test]
async fn nodes_and_clients_are_told_of_each_other_with_addresses() {
    let (testbed, pair) = testbed("60s").await;
    let snapshot = next(&mut testbed.watch("paris-01").await).await.snapshot.unwrap();
    assert_eq!(snapshot.assignments[0].clients, ["london-01"]);
    let mut london = testbed.watch("london-01").await;
    let first = next(&mut london).await.tasks.unwrap();
    assert_eq!((first.peers[0].node.as_str(), first.peers[0].address.as_str()), ("paris-01", ""));
    let mut agent = testbed.agent("paris-01");
    let beat = v1::HeartbeatRequest {
        node: "paris-01".to_owned(),
        address: Some("203.0.113.7".to_owned()),
        ..Default::default()
    };
    let (beats, stream) = tokio::sync::mpsc::channel(1);
    beats.send(beat).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let _answers = agent.heartbeat(stream).await.unwrap();
    assert_eq!(next(&mut london).await.tasks.unwrap().peers[0].address, "203.0.113.7", "as it reports");
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(next(&mut client).await.task.unwrap().address, "203.0.113.7");
    let text = std::fs::read_to_string(testbed.repository.clone_path().join("nodes/paris-01.yaml")).unwrap();
    testbed.repository.write("nodes/paris-01.yaml", text + "  address: 198.51.100.1\n");
    testbed.push("a fixed address").await;
    assert_eq!(next(&mut london).await.tasks.unwrap().peers[0].address, "198.51.100.1", "as is declared");
}

#[tokio::test]
async fn only_the_two_nodes_of_a_job_touch_its_tasks() {
    let (testbed, pair) = testbed("60s").await;
    let want = async |caller: &str, request: v1::RequestServerRequest| {
        testbed.agent(caller).request_server(request).await.map(drop).map_err(|status| status.code())
    };
    // The server does not ask for itself, nor does a node of another job, nor a user, nor somebody for somebody else.
    for node in ["paris-01", "rome-01", "oslo-01"] {
        assert_eq!(want(node, pair.request(node)).await, Err(Code::PermissionDenied), "{node}");
    }
    for caller in ["alice", "bob", "rome-01"] {
        assert_eq!(want(caller, pair.request("london-01")).await, Err(Code::PermissionDenied), "{caller}");
    }
    let unknown = v1::RequestServerRequest { job: "nosuch".to_owned(), ..pair.request("london-01") };
    assert_eq!(want("london-01", unknown).await, Err(Code::PermissionDenied));
    // Nor at an instant that is not the job's, nor when its time is over, nor long before.
    let later = Some(timestamp(pair.at + Duration::from_secs(1)));
    let later = v1::RequestServerRequest { scheduled_at: later, ..pair.request("london-01") };
    assert_eq!(want("london-01", later).await, Err(Code::FailedPrecondition));
    testbed.write_job("plain", "bob", "london-01", manifest::HOURLY);
    let hourly = manifest::served_job("hourly", "bob", "london-01", "paris-01", manifest::HOURLY);
    testbed.repository.write("jobs/hourly.yaml", hourly);
    testbed.push("more jobs").await;
    let noon = Some(timestamp(crate::harness::instant("2030-01-01T12:00:00Z")));
    for job in ["plain", "hourly"] {
        let early =
            v1::RequestServerRequest { job: job.to_owned(), scheduled_at: noon, ..pair.request("london-01") };
        assert_eq!(want("london-01", early).await, Err(Code::FailedPrecondition), "{job}");
    }
    let missing = pair.say(testbed.agent("paris-01"), "paris-01", TaskNews::Ready, "").await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound, "nobody wants it yet");

    let _client = pair.want(testbed.agent("london-01")).await;
    #[rustfmt::skip]
    let table = [
        //             ready, served, failed released
        ("london-01", [false, false, false, true]),
        ("paris-01",  [true,  true,  true,  false]),
        ("rome-01",   [false, false, false, false]),
        ("oslo-01",   [false, false, false, false]),
    ];
    for (node, row) in table {
        let news = [TaskNews::Ready, TaskNews::Served, TaskNews::Failed, TaskNews::Released];
        for (news, may) in news.into_iter().zip(row).filter(|(_, may)| !may) {
            let refused = pair.say(testbed.agent(node), node, news, "").await;
            assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{node} {news:?} {may}");
        }
    }
    for caller in ["alice", "bob", "rome-01"] {
        let refused = pair.say(testbed.agent(caller), "paris-01", TaskNews::Ready, "").await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{caller}");
    }
    let nonsense = pair.say(testbed.agent("paris-01"), "paris-01", TaskNews::Unspecified, "").await;
    assert_eq!(nonsense.unwrap_err().code(), Code::InvalidArgument);
    for news in [TaskNews::Ready, TaskNews::Served] {
        pair.say(testbed.agent("paris-01"), "paris-01", news, "").await.unwrap();
    }
    pair.say(testbed.agent("london-01"), "london-01", TaskNews::Released, "").await.unwrap();
}

#[tokio::test]
async fn a_task_outlives_the_reconciler() {
    let (mut testbed, pair) = testbed("60s").await;
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
    testbed.crash_and_serve().await;
    assert!(client.message().await.is_err());
    let mut paris = testbed.watch("paris-01").await;
    assert_eq!(told(&mut paris).await, [TaskState::Requested]);
    pair.say(testbed.agent("paris-01"), "paris-01", TaskNews::Ready, "").await.unwrap();
    testbed.crash_and_serve().await;
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Ready);
    // A job that is removed meanwhile ends nothing.
    testbed.repository.remove("jobs/iperf.yaml");
    testbed.push("no such job").await;
    drop(client);
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Ready);
}

#[tokio::test]
async fn a_newer_call_takes_the_place_of_one_that_is_dead_without_a_word() {
    let (testbed, pair) = testbed("60s").await;
    let mut first = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut first).await.0, TaskState::Requested);
    let mut second = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut second).await.0, TaskState::Requested);
    assert_eq!(first.message().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn a_side_that_falls_silent_ends_the_pair() {
    let (testbed, pair) = testbed("10s").await;
    // The client is there, and the server was ready and says nothing any more.
    let mut client = pair.want(testbed.agent("london-01")).await;
    pair.say(testbed.agent("paris-01"), "paris-01", TaskNews::Ready, "").await.unwrap();
    let begun = Instant::now();
    while standing(&mut client).await.0 != TaskState::Ready {}
    let (state, message) = standing(&mut client).await;
    assert_eq!((state, message.as_str()), (TaskState::Failed, "nothing was heard of `paris-01` for 10 s"));
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_client_that_vanishes_lets_its_server_go_and_one_that_comes_back_in_time_does_not() {
    let (testbed, pair) = testbed("10s").await;
    let mut paris = testbed.watch("paris-01").await;
    drop(pair.want(testbed.agent("london-01")).await);
    // It comes back.
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
    drop(client);
    let begun = Instant::now();
    while told(&mut paris).await != [TaskState::Abandoned] {}
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
    let mut client = pair.want(testbed.agent("london-01")).await;
    let (state, message) = standing(&mut client).await;
    assert_eq!(
        (state, message.as_str()),
        (TaskState::Abandoned, "nothing was heard of `london-01` for 10 s")
    );
}

#[tokio::test]
async fn the_part_of_a_server_is_recorded_under_the_run_of_its_client() {
    let (testbed, pair) = testbed("60s").await;
    let part = |client: &str, run: &str| v1::RunEvent {
        run_id: run.to_owned(),
        role: v1::Role::Server.into(),
        client: client.to_owned(),
        ..event("iperf", "london-01", pair.at, 1, v1::Phase::Running)
    };
    let of_london = part("london-01", &pair.run());
    testbed.report("london-01", vec![event("iperf", "london-01", pair.at, 1, v1::Phase::Running)]).await;
    // Not of a client that the job never had, nor by a node that is not its server.
    testbed.report("paris-01", vec![part("rome-01", &run_id("iperf", "rome-01", pair.at))]).await;
    testbed.report("oslo-01", vec![of_london.clone()]).await;
    let roles = async || {
        let request = v1::ListRunsRequest { job: "iperf".to_owned(), page_size: 10, ..Default::default() };
        let runs = testbed.ask("bob").list_runs(request).await.unwrap().into_inner().runs;
        let mut roles: Vec<_> = runs.iter().map(|run| (run.node.clone(), run.role())).collect();
        roles.sort();
        roles
    };
    assert_eq!(roles().await, [("london-01".to_owned(), v1::Role::Client)]);
    testbed.report("paris-01", vec![of_london]).await;
    let both = [("london-01".to_owned(), v1::Role::Client), ("paris-01".to_owned(), v1::Role::Server)];
    assert_eq!(roles().await, both);
}

#[tokio::test]
async fn a_client_is_told_that_its_server_makes_room_also_after_a_crash() {
    let (mut testbed, pair) = testbed("60s").await;
    let mut client = pair.want(testbed.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
    let request = |reason: Reason| v1::UpdateTaskRequest {
        node: "paris-01".to_owned(),
        run_id: pair.run(),
        news: TaskNews::Failed.into(),
        message: "alice wants the node's link".to_owned(),
        reason: reason.into(),
    };
    testbed.agent("paris-01").update_task(request(Reason::Scavenger)).await.unwrap();
    let task = next(&mut client).await.task.unwrap();
    assert_eq!((task.state(), task.reason()), (TaskState::Failed, Reason::Scavenger));
    // What is over stays so, with its reason.
    testbed.crash_and_serve().await;
    testbed.agent("paris-01").update_task(request(Reason::Unspecified)).await.unwrap();
    let task = next(&mut pair.want(testbed.agent("london-01")).await).await.task.unwrap();
    assert_eq!((task.state(), task.reason()), (TaskState::Failed, Reason::Scavenger));
    assert_eq!(task.message, "alice wants the node's link");
}

#[tokio::test]
async fn no_other_reason_of_a_server_is_its_clients() {
    let (testbed, pair) = testbed("60s").await;
    let mut client = pair.want(testbed.agent("london-01")).await;
    standing(&mut client).await;
    let request = v1::UpdateTaskRequest {
        node: "paris-01".to_owned(),
        run_id: pair.run(),
        news: TaskNews::Failed.into(),
        message: "the node is cordoned".to_owned(),
        reason: Reason::Cordoned.into(),
    };
    testbed.agent("paris-01").update_task(request).await.unwrap();
    let task = next(&mut client).await.task.unwrap();
    assert_eq!((task.state(), task.reason()), (TaskState::Failed, Reason::Unspecified));
}
