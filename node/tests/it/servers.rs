//! Both sides of a pair: a client waits for its server, and a server begins and ends on its client's word.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::json;

use almanac_proto::{
    convert::timestamp,
    v1::{Cancellation, Instructions, Peer, Task, TaskNews, TaskState, Tasks},
};
use almanac_schemas::{NodeName, Phase, Reason, RunId};

use crate::harness::{Job, Run, World};

pub(crate) const LONG: &str = "echo up; while :; do sleep 0.05; done";

pub(crate) fn at() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A job whose server is on this node and serves a client in London.
pub(crate) fn serving(at: DateTime<Utc>, script: &str, ready: &serde_json::Value) -> Job {
    Job::once("pair", at).length("10m").server(script, ready).serving("london")
}

/// That its server is wanted, or is not any more.
pub(crate) fn task(at: DateTime<Utc>, state: TaskState) -> Tasks {
    let client: NodeName = "london".parse().unwrap();
    let task = Task {
        run_id: RunId::new(&"pair".parse().unwrap(), &client, at).to_string(),
        job: "pair".to_owned(),
        client: client.to_string(),
        server: "paris".to_owned(),
        scheduled_at: Some(timestamp(at)),
        state: state.into(),
        message: "nothing was heard of `london`".to_owned(),
        ..Task::default()
    };
    Tasks { tasks: vec![task], peers: Vec::new() }
}

/// A job that runs here and has a server in Paris.
pub(crate) fn served(script: &str, timeout: &str) -> Job {
    Job::soon("pair").length("10m").sh(script).server("true", &json!({ "timeout": timeout }))
}

fn paris(address: &str) -> Tasks {
    Tasks { tasks: Vec::new(), peers: vec![Peer { node: "paris".to_owned(), address: address.to_owned() }] }
}

/// Waits for news of a server, and returns what they say.
pub(crate) fn wait_news(world: &mut World, news: TaskNews) -> String {
    world.wait_told(&format!("news of {news:?}"), |record| {
        record.news.iter().find(|said| said.news() == news).map(|said| said.message.clone())
    })
}

pub(crate) fn end(run: &Run) -> (Phase, Reason) {
    run.end().unwrap()
}

#[test]
fn a_server_begins_on_the_word_of_its_client_says_that_it_is_ready_and_ends_with_it() {
    let mut world = World::new();
    let (at, ready) = (at(), json!({"log": "^listening on [0-9]+$"}));
    let script = format!("sleep 0.3; echo listening on 5201; echo for $ALMANAC_CLIENT_NODE; {LONG}");
    world.declare([serving(at, &script, &ready)]);
    world.start();
    world.wait_followed();
    assert!(world.arrivals().is_empty(), "nobody wants it yet");
    world.reconciler.pair(&task(at, TaskState::Requested));
    wait_news(&mut world, TaskNews::Ready);
    let run = world.wait_phase("pair", Phase::Running);
    let event = run.last();
    assert_eq!((event.client.as_str(), event.role), ("london", 2), "{event:?}");
    // It is said again and again, so that its silence means something.
    world.wait_told("the news again", |record| (record.news.len() > 2).then_some(()));
    world.reconciler.pair(&task(at, TaskState::Released));
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Completed, Reason::LengthReached));
    assert_eq!(run.last().message, "its client has ended");
    assert!(world.stdout(&run).contains("for london\n"));
    world.wait_tidy();
    // What is over does not begin again.
    world.reconciler.pair(&task(at, TaskState::Released));
    world.kill();
    world.start();
    world.wait_followed();
    assert_eq!(world.wait_end("pair").phases().len(), 4);
}

#[test]
fn a_server_that_ends_before_it_is_ready_is_told_at_once_with_its_exit_code() {
    let mut world = World::new();
    let at = at();
    world.declare([serving(at, "exit 3", &json!({"log": "never"}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    assert_eq!(wait_news(&mut world, TaskNews::Failed), "it ended with exit code 3");
    assert_eq!(end(&world.wait_end("pair")), (Phase::Failed, Reason::ExitCode));
}

#[test]
fn a_server_that_ends_well_has_served() {
    let mut world = World::new();
    let at = at();
    let exec = ["sh", "-c", "test -e $ALMANAC_ARTIFACTS/there"];
    let script = "touch $ALMANAC_ARTIFACTS/there; sleep 1";
    world.declare([serving(at, script, &json!({ "exec": exec }))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    wait_news(&mut world, TaskNews::Served);
    assert_eq!(end(&world.wait_end("pair")), (Phase::Completed, Reason::ExitCode));
}

#[test]
fn a_server_that_may_not_start_is_refused_with_the_reason_and_recorded() {
    let mut world = World::new();
    let at = at();
    world.desired.node = json!({"owner": "alice", "cordoned": true});
    world.declare([serving(at, LONG, &json!({}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    assert_eq!(wait_news(&mut world, TaskNews::Failed), "the node's manifest says `cordoned: true`");
    assert_eq!(end(&world.wait_end("pair")), (Phase::Skipped, Reason::Cordoned));
}

#[test]
fn a_server_that_was_never_ready_did_not_serve_when_its_client_gives_up() {
    let mut world = World::new();
    let at = at();
    world.declare([serving(at, LONG, &json!({"tcp": 1}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    world.wait_phase("pair", Phase::Running);
    world.reconciler.pair(&task(at, TaskState::Released));
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Failed, Reason::ServerUnavailable));
    assert_eq!(run.last().message, "it was not ready when its client gave up");
    let news = &world.reconciler.record().news;
    assert!(news.iter().all(|said| said.news() != TaskNews::Ready), "{news:?}");
}

#[test]
fn an_agent_that_was_killed_goes_on_with_its_server_and_says_again_that_it_is_ready() {
    let mut world = World::new();
    let at = at();
    world.declare([serving(at, LONG, &json!({"log": "^up$"}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    world.kill();
    world.reconciler.record().news.clear();
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    // One whose client vanished meanwhile is stopped when that is known.
    world.kill();
    world.reconciler.pair(&task(at, TaskState::Abandoned));
    world.start();
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Aborted, Reason::NodeOffline));
    assert_eq!(run.last().message, "nothing was heard of `london`");
    assert_eq!(run.phases().iter().filter(|phase| **phase == Phase::Running).count(), 1);
}

#[test]
fn a_server_ends_with_its_reservation_whoever_is_there() {
    let mut world = World::new();
    let at = at();
    world.declare([serving(at, LONG, &json!({})).length("4s")]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    world.reconciler.vanish();
    world.wait("the end of its process", |world| world.processes().is_empty().then_some(()));
    world.reconciler.come_back();
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Completed, Reason::LengthReached));
    assert!(Utc::now() >= at + TimeDelta::seconds(4));
}

#[test]
fn a_client_begins_when_its_server_is_ready_and_knows_where_it_is() {
    let mut world = World::new();
    world.reconciler.pair(&paris("203.0.113.7"));
    world.reconciler.serve(TaskState::Requested, "", "203.0.113.7");
    world.declare([served(
        "echo $ALMANAC_SERVER_NODE $ALMANAC_SERVER_ADDRESS:$ALMANAC_SERVER_PORT_5201",
        "60s",
    )]);
    world.start();
    world.wait_told("a server to be wanted", |record| record.wanted.first().cloned());
    assert_eq!(world.wait_phase("pair", Phase::Deploying).phases(), [Phase::Deploying]);
    world.reconciler.serve(TaskState::Ready, "", "203.0.113.7");
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Completed, Reason::ExitCode));
    assert_eq!(world.stdout(&run), "paris 203.0.113.7:5201\n");
    wait_news(&mut world, TaskNews::Released);
}

#[test]
fn a_server_that_is_reached_elsewhere_than_was_known_is_found_all_the_same() {
    let mut world = World::new();
    world.reconciler.serve(TaskState::Ready, "", "203.0.113.9");
    world.declare([served("echo $ALMANAC_SERVER_ADDRESS", "60s")]);
    world.start();
    let run = world.wait_end("pair");
    assert_eq!(world.stdout(&run), "203.0.113.9\n");
}

#[test]
fn a_client_without_a_server_in_time_is_skipped_and_says_why() {
    for (state, message, address, said) in [
        (TaskState::Requested, "", "203.0.113.7", "it was not ready in time"),
        (TaskState::Failed, "it ended with exit code 3", "203.0.113.7", "it ended with exit code 3"),
        (TaskState::Served, "", "203.0.113.7", "it ended before its client could start"),
        (TaskState::Ready, "", "", "the address of `paris`, where the server runs, is not known"),
    ] {
        let mut world = World::new();
        world.reconciler.serve(state, message, address);
        world.declare([served("echo it began", "1s")]);
        world.start();
        let run = world.wait_end("pair");
        assert_eq!(end(&run), (Phase::Skipped, Reason::ServerUnavailable), "{state:?}");
        assert!(run.last().message.contains(said), "{}", run.last().message);
        assert_eq!(run.phases(), [Phase::Deploying, Phase::Skipped], "nothing began");
        wait_news(&mut world, TaskNews::Released);
        world.wait_tidy();
    }
}

#[test]
fn a_client_that_nobody_answers_is_skipped_in_time() {
    let mut world = World::new();
    world.declare([Job::once("pair", at() + TimeDelta::seconds(2))
        .length("10m")
        .server("true", &json!({"timeout": "2s"}))]);
    world.start();
    world.wait_followed();
    world.reconciler.vanish();
    world.wait("its end", |world| {
        let runs = std::fs::read_dir(world.state_dir().join("runs")).ok()?.count();
        (Utc::now() > world.desired.valid_until - TimeDelta::days(7) + TimeDelta::seconds(5) && runs == 0)
            .then_some(())
    });
    world.reconciler.come_back();
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Skipped, Reason::ServerUnavailable));
    let took = run.last().at.unwrap().seconds - run.last().scheduled_at.unwrap().seconds;
    assert!((2..5).contains(&took), "{took} s");
}

#[test]
fn a_client_whose_server_is_lost_is_stopped_and_fails() {
    let mut world = World::new();
    world.reconciler.serve(TaskState::Ready, "", "203.0.113.7");
    world.declare([served(LONG, "60s")]);
    world.start();
    world.wait_phase("pair", Phase::Running);
    // Also when it was lost while nobody watched.
    world.kill();
    world.start();
    world.wait_told("the lease to be taken again", |record| (record.wanted.len() > 1).then_some(()));
    world.reconciler.serve(TaskState::Failed, "nothing was heard of `paris` for 60 s", "203.0.113.7");
    let run = world.wait_end("pair");
    assert_eq!(end(&run), (Phase::Failed, Reason::ServerUnavailable));
    assert_eq!(run.last().message, "its server was lost: nothing was heard of `paris` for 60 s");
    assert_eq!(world.stdout(&run), "up\n", "what it left is kept");
}

#[test]
fn a_pair_that_is_up_does_not_end_with_the_reconciler() {
    let mut world = World::new();
    world.reconciler.serve(TaskState::Ready, "", "203.0.113.7");
    world.declare([served("while ! test -e $ALMANAC_ARTIFACTS/../../../../go; do sleep 0.05; done", "60s")]);
    world.start();
    world.wait_phase("pair", Phase::Running);
    world.reconciler.vanish();
    world.reconciler.come_back();
    world.wait_told("the lease to be taken again", |record| (record.wanted.len() > 1).then_some(()));
    std::fs::write(world.path("go"), "").unwrap();
    assert_eq!(end(&world.wait_end("pair")), (Phase::Completed, Reason::ExitCode));
}

#[test]
fn a_client_that_is_cancelled_while_it_waits_lets_its_server_go() {
    let mut world = World::new();
    world.reconciler.serve(TaskState::Requested, "", "203.0.113.7");
    world.declare([served("echo it began", "60s")]);
    world.start();
    world.wait_told("a server to be wanted", |record| record.wanted.first().cloned());
    let run_id = world.wait_phase("pair", Phase::Deploying).key.0;
    let (actor, reason) = ("alice".to_owned(), String::new());
    world.reconciler.instruct(&Instructions {
        cancellations: vec![Cancellation { run_id, actor, reason }],
        ..Default::default()
    });
    assert_eq!(end(&world.wait_end("pair")), (Phase::Aborted, Reason::Cancelled));
    wait_news(&mut world, TaskNews::Released);
}
